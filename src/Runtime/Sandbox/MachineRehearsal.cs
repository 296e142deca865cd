using KataLike.Contract.Agent;
using KataLike.Linux;
using KataLike.Runtime.Storage;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// The life of a container in a machine that waits. The one that comes first finds all that is done once: under emulation the guest's
/// code has been translated then, which is most of what a start costs.
/// </summary>
internal static class MachineRehearsal
{
    private const string Id = RehearsedContainer.Id;

    /// <param name="directory">Of the host, in which its bundle is for that time.</param>
    public static async Task PlayAsync(Machine machine, string directory, CancellationToken cancel)
    {
        var bundle = $"{directory}/{Id}";
        var rootfs = Directory.CreateDirectory($"{bundle}/rootfs").FullName;
        if (RehearsedProgram.WriteBoth(rootfs))
            await PlayAsync(machine, SharePlan.From(RehearsedContainer.Spec, Id, bundle, []), cancel);
        Directory.Delete(bundle, recursive: true);
    }

    private static async Task PlayAsync(Machine machine, SharePlan plan, CancellationToken cancel)
    {
        machine.Shares.Attach(Id, plan);
        var streams = new StreamChannels(machine.Vsock, new ProcessStreams(Terminal: false, Nothing(), Nothing(), Nothing()));
        await RehearsedContainer.PlayAsync(machine.Agent, new CreateContainerRequest { Overlay = plan.Overlay, Bundle = "/", Streams = streams.Ports, Rehearsal = true }, cancel);
        await streams.Drained.WaitAsync(cancel);
        machine.Shares.Detach(Id);
    }

    private static FileDescriptor Nothing() => Files.Open("/dev/null", Files.ReadWrite);
}
