using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Templates;

/// <summary>Boots a machine once, and saves it where it waits for its devices.</summary>
internal static class TemplateMaker
{
    /// <summary>What the agent says then (KataLike.Agent.Template).</summary>
    public const string Ready = "ready to be saved";

    private static readonly TimeSpan QuitPatience = TimeSpan.FromSeconds(2);

    /// <summary>Makes a template and, where that is of use, the process of a copy. Without the latter sandboxes start all the same.</summary>
    /// <param name="again">Even if they are there.</param>
    /// <returns>False: somebody else is making them.</returns>
    /// <exception cref="VmException">The machine did not come up, or cannot be saved.</exception>
    public static async Task<bool> MakeAsync(Configuration configuration, TemplatePlan plan, TemplateStore store, Action<string> log, bool again = false)
    {
        using var held = store.TryLock();
        if (held is null)
            return false;
        var patience = TimeSpan.FromSeconds(configuration.BootTimeoutSeconds);
        if (Directory.Exists(store.Workshop))
            Directory.Delete(store.Workshop, recursive: true);
        Directory.CreateDirectory(store.Workshop);
        try
        {
            if (again || !store.Has(plan.Key))
                await MakeMachineAsync(plan, store, patience);
            if (plan.ProcessKey is { } key && (again || !store.Has(key)))
                await MakeProcessAsync(configuration, plan, key, store, log);
            return true;
        }
        finally
        {
            Directory.Delete(store.Workshop, recursive: true);
        }
    }

    private static async Task MakeProcessAsync(Configuration configuration, TemplatePlan plan, string key, TemplateStore store, Action<string> log)
    {
        try
        {
            await ProcessMaker.MakeAsync(configuration, plan, key, store, log);
        }
        catch (Exception error) when (error is VmException or QmpException or TtrpcException or InvalidDataException or IOException)
        {
            log($"sandboxes start without a saved process, which takes them longer: {error.Message}");
            store.Discard(key);
            // The next time it would be the same.
            if (error is InvalidDataException or LinuxException)
                store.Add(key, file => Template.Write(file, key, ProcessImage.Empty(), memory: null));
        }
    }

    private static async Task MakeMachineAsync(TemplatePlan plan, TemplateStore store, TimeSpan patience)
    {
        var directory = store.Workshop;
        using var parent = ShareNamespace.Enter(Directory.CreateDirectory($"{directory}/shared").FullName);
        using var memory = Memory.CreateFile("memory", (ulong)plan.Machine.Spec.MemoryMib << 20);
        using var state = Files.Open($"{directory}/state", Files.ReadWrite | Files.Create | Files.Exclusive, mode: 0x180);
        var machine = VirtualMachine.Start(
            plan.Machine.Programs.Qemu, plan.Machine.Spec, new MachineDescriptors(null, null) { Memory = memory }, parent,
            $"{directory}/console.log", $"{directory}/qemu.log");
        await using (machine)
        {
            await SaveAsync(machine, state, patience);
        }
        using var pages = MappedMemory.Share(memory, (ulong)plan.Machine.Spec.MemoryMib << 20);
        store.Add(plan.Key, file => Template.Write(file, plan.Key, File.ReadAllBytes($"{directory}/state"), pages));
    }

    private static async Task SaveAsync(VirtualMachine machine, FileDescriptor state, TimeSpan patience)
    {
        try
        {
            if (await Task.WhenAny(machine.SaidAsync(Ready), machine.Ended).WaitAsync(patience) == machine.Ended)
                throw machine.Failure($"the template's machine did not start: {await machine.Ended}");
            await machine.SaveAsync(state);
            await machine.QuitAsync(QuitPatience);
        }
        catch (TimeoutException)
        {
            throw machine.Failure($"the template's machine was not ready within {patience.TotalSeconds:0} s (boot_timeout_seconds)");
        }
        catch (QmpException error)
        {
            throw machine.Failure($"the template's machine cannot be saved: {error.Message}", error);
        }
    }
}
