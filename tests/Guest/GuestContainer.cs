using System.Text;
using Google.Protobuf;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;
using KataLike.Runtime.Vsock;

namespace KataLike.Guest.Tests;

/// <summary>A container of the test machine; its disposal kills and deletes it.</summary>
internal sealed class GuestContainer : IAsyncDisposable
{
    private static int _last;

    private readonly GuestMachine _machine;

    private GuestContainer(GuestMachine machine, HostStreams streams) => (_machine, Streams) = (machine, streams);

    public string Id { get; } = $"test-{Interlocked.Increment(ref _last)}";

    public HostStreams Streams { get; }

    private AgentClient Agent => _machine.Agent;

    /// <summary>runc's default specification for a shell command, without a terminal and with the namespaces of engines.</summary>
    public static Spec Spec(string command)
    {
        var spec = Contract.Oci.Spec.Default();
        return spec with
        {
            Process = Process(command),
            Root = new Root { Path = "rootfs" },
            Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!, new Namespace { Type = "cgroup" }] },
        };
    }

    public static ProcessSpec Process(string command) => Contract.Oci.Spec.Default().Process! with
    {
        Args = ["/bin/sh", "-c", command],
        Terminal = false,
    };

    public static async Task<GuestContainer> CreateAsync(
        GuestMachine machine, Spec spec, string rootfs = "a", Func<IVsock, HostStreams>? streams = null, bool compile = true)
    {
        var container = new GuestContainer(machine, (streams ?? HostStreams.Pipes)(machine.Vsock));
        try
        {
            await machine.Agent.CreateContainerAsync(new CreateContainerRequest
            {
                Id = container.Id,
                Config = ByteString.CopyFromUtf8(spec.ToJson()),
                Overlay = new Overlay { Rootfs = $"{rootfs}/rootfs" },
                Streams = container.Streams.Ports,
                Bundle = "/bundle",
                Seccomp = compile && spec.Linux?.Seccomp is { } profile && Runtime.Sandboxes.SeccompProgram.Compile(profile) is var (code, flags)
                    ? new Contract.Agent.SeccompProgram { Code = ByteString.CopyFrom(code), Flags = flags } : null,
            });
            return container;
        }
        catch
        {
            container.Streams.Dispose();
            throw;
        }
    }

    public static async Task<GuestContainer> StartAsync(
        GuestMachine machine, Spec spec, string rootfs = "a", Func<IVsock, HostStreams>? streams = null)
    {
        var container = await CreateAsync(machine, spec, rootfs, streams);
        await container.StartAsync();
        return container;
    }

    public async Task StartAsync() => await Agent.StartContainerAsync(new StartContainerRequest { Id = Id });

    public async Task<WaitResponse> WaitAsync(string exec = "") =>
        await Agent.WaitAsync(new WaitRequest { Id = Id, ExecId = exec });

    public async Task SignalAsync(uint signal, string exec = "", bool all = false) =>
        await Agent.SignalAsync(new SignalRequest { Id = Id, ExecId = exec, Signal = signal, All = all });

    public async Task<HostStreams> ExecAsync(string exec, ProcessSpec process, Func<IVsock, HostStreams>? streams = null)
    {
        var ends = (streams ?? HostStreams.Pipes)(_machine.Vsock);
        try
        {
            await Agent.ExecAsync(new ExecRequest
            {
                Id = Id,
                ExecId = exec,
                Process = ByteString.CopyFromUtf8(ProcessJson(process)),
                Streams = ends.Ports,
            });
            return ends;
        }
        catch
        {
            ends.Dispose();
            throw;
        }
    }

    /// <summary>Runs a command to its end; gives its standard output.</summary>
    public async Task<string> ExecTextAsync(string exec, string command)
    {
        using var streams = await ExecAsync(exec, Process(command));
        streams.Input.Dispose();
        var end = await WaitAsync(exec);
        var text = await streams.Text;
        Assert.True(end.ExitStatus == 0, $"{command}: {end.ExitStatus} {Encoding.UTF8.GetString(await streams.Error)}");
        await Agent.DeleteAsync(new DeleteRequest { Id = Id, ExecId = exec });
        return text;
    }

    public async ValueTask DisposeAsync()
    {
        Streams.Dispose();
        try
        {
            await SignalAsync(9, all: true);
            await WaitAsync();
            await Agent.DeleteAsync(new DeleteRequest { Id = Id });
        }
        catch (IOException)
        {
            // The machine is gone, and the test has failed for that.
        }
    }

    /// <summary>The process object alone, as the RPC takes it.</summary>
    private static string ProcessJson(ProcessSpec process)
    {
        using var document = System.Text.Json.JsonDocument.Parse((Contract.Oci.Spec.Default() with { Process = process }).ToJson());
        return document.RootElement.GetProperty("process").GetRawText();
    }
}
