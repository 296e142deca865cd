using KataLike.Linux;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Templates;

/// <summary>Boots a machine once, and saves it where it waits for its devices.</summary>
internal static class TemplateMaker
{
    /// <summary>What the agent says then (KataLike.Agent.Template).</summary>
    private const string Ready = "ready to be saved";

    private static readonly TimeSpan QuitPatience = TimeSpan.FromSeconds(2);

    /// <returns>False: somebody else is making one.</returns>
    /// <exception cref="VmException">The machine did not come up, or cannot be saved.</exception>
    public static async Task<bool> MakeAsync(TemplatePlan plan, TemplateStore store, TimeSpan patience)
    {
        using var held = store.TryLock();
        if (held is null)
            return false;
        if (Directory.Exists(store.Workshop))
            Directory.Delete(store.Workshop, recursive: true);
        var directory = Directory.CreateDirectory(store.Workshop).FullName;
        try
        {
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
            return true;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
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
