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
            using var process = await RehearseAndCaptureAsync(configuration, plan, template, directory, $"{store.Workshop}/process", patience, log);
            process.Add(store, key, WorkingSet.Empty);
            using var saved = store.Find(key) ?? throw new InvalidDataException("it is gone");
            process.Add(store, key, await TryAsync(configuration, plan, saved, directory, patience, log));
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

    private static async Task<CapturedProcess> RehearseAndCaptureAsync(
        Configuration configuration, TemplatePlan plan, Template template, SandboxDirectory directory, string path, TimeSpan patience, Action<string> log)
    {
        using var limit = new CancellationTokenSource(patience);
        await using var machine = await Machine.RestoreAsync(configuration, plan, template, isProcess: false, directory, log);
        await RehearseAsync(machine, directory.Path, patience, limit.Token);
        var ranges = await machine.WithdrawAsync(limit.Token);
        var kept = ranges.Where(IsUsable).Select(range => (range.Start, range.Length)).ToList();
        var image = new FileStream(path, FileMode.CreateNew);
        try
        {
            await machine.Hypervisor.CaptureAsync(kept, image);
            return new CapturedProcess(image, machine.Hypervisor.OpenMemory(), kept);
        }
        catch
        {
            await image.DisposeAsync();
            throw;
        }
    }

    /// <summary>One that cannot be copied here is better known now.</summary>
    /// <returns>What a copy that plays the same life needs of its memory.</returns>
    private static async Task<WorkingSet> TryAsync(
        Configuration configuration, TemplatePlan plan, Template saved, SandboxDirectory directory, TimeSpan patience, Action<string> log)
    {
        using var limit = new CancellationTokenSource(patience);
        try
        {
            await using var copy = await Machine.RestoreAsync(configuration, plan, saved, isProcess: true, directory, log);
            await RehearseAsync(copy, directory.Path, patience, limit.Token);
            return WorkingSet.Of(copy.Hypervisor.Pid);
        }
        catch (VmException error)
        {
            throw new InvalidDataException($"a copy of the process does not start: {error.Message}", error);
        }
    }

    private static bool IsUsable(MemoryRange range) =>
        range.Length <= SameAsOffset && range.Start <= SameAsOffset - range.Length && (range.Start | range.Length) % (ulong)Environment.SystemPageSize == 0;

    private static async Task RehearseAsync(Machine machine, string directory, TimeSpan patience, CancellationToken cancel)
    {
        await machine.SetUpAsync("katalike", patience, rehearsal: true);
        var loopback = new NetworkInterface { Id = NetworkDevices.Loopback, Up = true };
        await machine.Agent.SetNetworkAsync(new SetNetworkRequest { Interfaces = { loopback } }, cancel);
        await MachineRehearsal.PlayAsync(machine, directory, cancel);
    }

    /// <param name="image">As it was captured.</param>
    /// <param name="memory">Of its machine, which stands still.</param>
    /// <param name="kept">What copies need not have of their own before they write it: parts of the memory that no other process uses.</param>
    private sealed class CapturedProcess(FileStream image, FileDescriptor memory, IReadOnlyList<(ulong Start, ulong Length)> kept) : IDisposable
    {
        private readonly byte[] _head = ReadHead(image);

        private static byte[] ReadHead(FileStream image)
        {
            var head = new byte[ProcessImage.HeadSize];
            image.Position = 0;
            image.ReadExactly(head);
            return head;
        }

        public void Add(TemplateStore store, string key, WorkingSet foreseen)
        {
            image.Position = 0;
            image.Write(ProcessImage.Foresee(_head, foreseen));
            image.Flush();
            using var file = Files.Open(image.Name, Files.ReadOnly);
            using var state = MappedMemory.Read(file, (ulong)image.Length);
            using var pages = MappedMemory.Share(memory, Files.Status(memory).Size);
            store.Add(key, target => Template.Write(target, key, state.Slice(0, checked((int)state.Length)), pages, kept));
        }

        public void Dispose()
        {
            memory.Dispose();
            image.Dispose();
        }
    }
}
