using System.Text;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Storage;
using Machine = KataLike.Runtime.Sandboxes.Machine;

namespace KataLike.Runtime.Pools;

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
        var rootfs = Directory.CreateDirectory($"{directory}/{Id}/rootfs").FullName;
        if (StaticProgram.Write($"{rootfs}/exit", RehearsedContainer.Program))
        {
            var config = Encoding.UTF8.GetBytes(RehearsedContainer.Config);
            await PlayAsync(machine, new Bundle($"{directory}/{Id}", config, Spec.Parse(config)), cancel);
        }
        Directory.Delete($"{directory}/{Id}", recursive: true);
    }

    private static async Task PlayAsync(Machine machine, Bundle bundle, CancellationToken cancel)
    {
        var plan = SharePlan.From(bundle.Spec, Id, bundle.Directory, []);
        machine.Shares.Attach(Id, plan);
        var streams = new StreamChannels(machine.Vsock, new ProcessStreams(Terminal: false, Nothing(), Nothing(), Nothing()));
        var request = new CreateContainerRequest
        {
            Id = Id,
            Config = ByteString.CopyFrom(bundle.Config),
            Overlay = plan.Overlay,
            Bundle = bundle.Directory,
            Streams = streams.Ports,
        };
        await machine.Agent.CreateContainerAsync(request, cancel);
        await machine.Agent.StartContainerAsync(new StartContainerRequest { Id = Id }, cancel);
        await machine.Agent.WaitAsync(new WaitRequest { Id = Id }, cancel);
        await streams.Drained.WaitAsync(cancel);
        await machine.Agent.DeleteAsync(new DeleteRequest { Id = Id }, cancel);
        machine.Shares.Detach(Id);
    }

    private static FileDescriptor Nothing() => Files.Open("/dev/null", Files.ReadWrite);
}
