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
        if (MakeBundle(directory) is not { } plan)
            return;
        machine.Shares.Attach(Id, plan);
        var streams = Streams(machine);
        await RehearsedContainer.PlayAsync(machine.Agent, Request(plan, streams), cancel);
        await streams.Drained.WaitAsync(cancel);
        machine.Shares.Detach(Id);
        Directory.Delete($"{directory}/{Id}", recursive: true);
    }

    /// <summary>The beginning of that life, in a machine that is not to be used then.</summary>
    /// <param name="directory">Of the host, in which its bundle is from now on.</param>
    public static async Task BeginAsync(Machine machine, string directory, CancellationToken cancel)
    {
        if (MakeBundle(directory) is not { } plan)
            return;
        machine.Shares.Attach(Id, plan);
        await RehearsedContainer.BeginAsync(machine.Agent, Request(plan, Streams(machine)), cancel);
    }

    /// <summary>Null: there are no programs for this architecture.</summary>
    private static SharePlan? MakeBundle(string directory)
    {
        var bundle = $"{directory}/{Id}";
        var rootfs = Directory.CreateDirectory($"{bundle}/rootfs").FullName;
        return RehearsedProgram.WriteBoth(rootfs) ? SharePlan.From(RehearsedContainer.Spec, Id, bundle, []) : null;
    }

    private static StreamChannels Streams(Machine machine) =>
        new(machine.Vsock, new ProcessStreams(Terminal: false, Nothing(), Nothing(), Nothing()));

    private static FileDescriptor Nothing() => Files.Open("/dev/null", Files.ReadWrite);

    private static CreateContainerRequest Request(SharePlan plan, StreamChannels streams) =>
        new() { Overlay = plan.Overlay, Bundle = "/", Streams = streams.Ports, Rehearsal = true };
}
