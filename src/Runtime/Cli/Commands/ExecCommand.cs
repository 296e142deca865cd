using Google.Protobuf;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static class ExecCommand
{
    private const string ProcessType = "types.containerd.io/opencontainers/runtime-spec/1/Process";

    public static Command Command { get; } = new("exec", "execute new process inside the container", RunAsync)
    {
        Arguments = "<container-id> <command> [command options]  || -p process.json <container-id>",
        MaximumArguments = int.MaxValue,
        OptionsAnywhere = false,
        FailurePrefix = "exec failed",
        FailureCode = 255,
        Flags = ExecProcess.Flags,
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var options = invocation.Options;
        var detach = options.Boolean("detach");
        // Before any thread starts.
        using var signals = detach ? null : Signals.Redirect(StubSession.Forwarded);
        ContainerCreation.RefusePreservedDescriptors(options);
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        const string stopped = "cannot exec in a stopped container";
        await using var sandbox = ContainerStatusQuery.Live(root, state, stopped);
        var process = ExecProcess.From(options, state.Bundle);
        var streams = new AttachmentOptions(process.Terminal, detach, options.Text("console-socket"), process.ConsoleSize);
        streams.Check();

        var execId = $"exec-{Convert.ToHexStringLower(RandomBytes.Get(8))}";
        using var attachment = Attachment.Open(root, state.Sandbox, state.Id, execId, streams);
        try
        {
            await StartAsync(sandbox, attachment, state.Id, execId, process);
        }
        catch (SandboxUnreachableException e) when (!e.Hangs && state.Exit(root) is { Loss: null })
        {
            // It has just ended, and its machine with it.
            throw new RuntimeException(stopped, cause: e);
        }
        PidFile.Tell(options, attachment.Stub.Pid);
        return detach ? 0 : attachment.Wait(signals!, state.Sandbox, invocation.Log);
    }

    private static async Task StartAsync(SandboxClient sandbox, Attachment attachment, string container, string execId, ProcessSpec process)
    {
        await sandbox.ExecAsync(new ExecProcessRequest
        {
            Id = container,
            ExecId = execId,
            Terminal = process.Terminal,
            Stdin = $"stub://{attachment.Stub.Ticket}",
            Spec = new() { TypeUrl = ProcessType, Value = UnsafeByteOperations.UnsafeWrap(process.ToUtf8Json()) },
        });
        try
        {
            attachment.Stub.Bind();
            await sandbox.StartAsync(container, execId);
        }
        catch
        {
            await ForgetAsync(sandbox, container, execId);
            throw;
        }
    }

    private static async Task ForgetAsync(SandboxClient sandbox, string container, string execId)
    {
        try
        {
            await sandbox.DeleteAsync(container, execId);
        }
        catch (Exception e) when (e is TtrpcException or SandboxUnreachableException)
        {
            // The error that brought us here tells more.
        }
    }
}
