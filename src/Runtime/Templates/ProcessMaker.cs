using KataLike.Contract.Agent;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;
using Machine = KataLike.Runtime.Sandboxes.Machine;

namespace KataLike.Runtime.Templates;

/// <summary>
/// Has a copy of a template play the life of a sandbox, and saves the QEMU that has then translated the guest's code (decision 22).
/// </summary>
internal static class ProcessMaker
{
    /// <summary>Physical addresses below this one are places in the machine's memory as well; above, there may be devices between.</summary>
    private const ulong SameAsOffset = 2ul << 30;

    /// <exception cref="VmException">The copy did not do what was asked of it.</exception>
    /// <exception cref="InvalidDataException">A process such as this one cannot be saved.</exception>
    public static async Task MakeAsync(Configuration configuration, TemplatePlan plan, string key, TemplateStore store, Action<string> log)
    {
        var patience = TimeSpan.FromSeconds(configuration.BootTimeoutSeconds);
        var directory = new SandboxDirectory($"{store.Workshop}/sandboxes/process");
        directory.Acquire();
        try
        {
            using var template = store.Find(plan.Key) ?? throw new InvalidDataException("its template is gone");
            await using (var machine = await Machine.RestoreAsync(configuration, plan, template, isProcess: false, directory, log))
            {
                var kept = await RehearseAsync(machine, directory.Path, patience);
                await SaveAsync(machine, kept, key, store);
            }
            using var saved = store.Find(key) ?? throw new InvalidDataException("it is gone");
            await TryAsync(configuration, plan, saved, directory, log);
        }
        catch (Exception error) when (error is OperationCanceledException or TimeoutException)
        {
            throw new VmException($"the rehearsal was not over within {patience.TotalSeconds:0} s (boot_timeout_seconds)", cause: error);
        }
        finally
        {
            directory.Remove();
        }
    }

    /// <summary>One that cannot be copied here is better known now.</summary>
    private static async Task TryAsync(Configuration configuration, TemplatePlan plan, Template saved, SandboxDirectory directory, Action<string> log)
    {
        try
        {
            await using var copy = await Machine.RestoreAsync(configuration, plan, saved, isProcess: true, directory, log);
        }
        catch (VmException error)
        {
            throw new InvalidDataException($"a copy of the process does not start: {error.Message}", error);
        }
    }

    private static bool IsUsable(MemoryRange range) =>
        range.Length <= SameAsOffset && range.Start <= SameAsOffset - range.Length && (range.Start | range.Length) % (ulong)Environment.SystemPageSize == 0;

    private static async Task SaveAsync(Machine machine, IReadOnlyList<(ulong Start, ulong Length)> kept, string key, TemplateStore store)
    {
        var path = $"{store.Workshop}/process";
        await using (var image = new FileStream(path, FileMode.CreateNew))
            await machine.Hypervisor.CaptureAsync(kept, image);
        using var file = Files.Open(path, Files.ReadOnly);
        using var state = MappedMemory.Read(file, Files.Status(file).Size);
        using var memory = machine.Hypervisor.OpenMemory();
        using var pages = MappedMemory.Share(memory, Files.Status(memory).Size);
        store.Add(key, target => Template.Write(target, key, state.Slice(0, checked((int)state.Length)), pages, kept));
    }

    /// <returns>What copies need not have of their own before they write it: parts of the memory that no other process uses.</returns>
    private static async Task<IReadOnlyList<(ulong Start, ulong Length)>> RehearseAsync(Machine machine, string directory, TimeSpan patience)
    {
        using var limit = new CancellationTokenSource(patience);
        await machine.SetUpAsync("katalike", patience, rehearsal: true);
        var loopback = new NetworkInterface { Id = NetworkDevices.Loopback, Up = true };
        await machine.Agent.SetNetworkAsync(new SetNetworkRequest { Interfaces = { loopback } }, limit.Token);
        await MachineRehearsal.PlayAsync(machine, directory, limit.Token);
        var ranges = await machine.WithdrawAsync(limit.Token);
        return [.. ranges.Where(IsUsable).Select(range => (range.Start, range.Length))];
    }
}
