using System.Net.Sockets;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using Microsoft.Win32.SafeHandles;

namespace KataLike.Runtime.Shim;

/// <summary>
/// shim delete: containerd has lost the shim and wants nothing left of a container. A sandbox process that still answers is
/// asked to remove it; one that does not is killed, and with it go QEMU and every mount, by the kernel.
/// </summary>
internal static class ShimDelete
{
    private const uint KilledStatus = 137;
    private const int SIGKILL = 9;

    /// <summary>containerd waits 5 seconds in all.</summary>
    private static readonly TimeSpan AskTime = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan DeathTime = TimeSpan.FromSeconds(1.5);

    public static async Task<DeleteResponse> RunAsync(ShimArguments arguments, string bundle)
    {
        var group = GroupOf(bundle, arguments.Id);
        StateRoot.ValidateId(group);
        var address = AddressOf(bundle) ?? ShimAddress.For(arguments.Address, arguments.Namespace, group);
        using var directory = new StateRoot(ShimStart.Root(arguments.Namespace)).Sandbox(group);

        if (await AskAsync(address, arguments.Id, endSandbox: group == arguments.Id) is { } answer)
            return answer;
        await KillOwnerAsync(directory);
        // The lock goes with the last thread of the owner, which may take a moment more than the owner's end.
        var removed = directory.RemoveStale();
        for (var waited = TimeSpan.Zero; !removed && waited < DeathTime; waited += TimeSpan.FromMilliseconds(20))
        {
            await Task.Delay(20);
            removed = directory.RemoveStale();
        }
        if (removed)
            ShimAddress.Remove(address);
        return new DeleteResponse { ExitStatus = KilledStatus, ExitedAt = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow) };
    }

    /// <summary>A bundle that is half gone belongs to a container alone.</summary>
    private static string GroupOf(string bundle, string id)
    {
        try
        {
            return SandboxGroup.Of(bundle, id);
        }
        catch (RuntimeException)
        {
            return id;
        }
    }

    private static string? AddressOf(string bundle)
    {
        try
        {
            return File.ReadAllText(Path.Combine(bundle, "address")) is { Length: > 0 } address ? address : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Null where no sandbox process answers in time.</summary>
    private static async Task<DeleteResponse?> AskAsync(string address, string id, bool endSandbox)
    {
        if (ShimAddress.Connect(address) is not { } descriptor)
            return null;
        var socket = new Socket(new SafeSocketHandle(descriptor.Number, ownsHandle: true));
        descriptor.SetHandleAsInvalid();
        await using var connection = new TtrpcClient(new SocketStream(socket));
        using var limit = new CancellationTokenSource(AskTime);
        var tasks = new TaskClient(connection);
        try
        {
            var response = await RemoveAsync(tasks, id, limit.Token);
            if (response is not null || endSandbox)
                await tasks.ShutdownAsync(new ShutdownRequest { Id = id }, limit.Token);
            return response ?? new DeleteResponse { ExitStatus = KilledStatus, ExitedAt = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow) };
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or TtrpcException)
        {
            return null;
        }
    }

    /// <summary>Null where the sandbox does not know the container.</summary>
    private static async Task<DeleteResponse?> RemoveAsync(TaskClient tasks, string id, CancellationToken cancel)
    {
        try
        {
            await tasks.KillAsync(new KillRequest { Id = id, Signal = SIGKILL, All = true }, cancel);
        }
        catch (TtrpcException e) when (e.Code is StatusCode.NotFound or StatusCode.FailedPrecondition)
        {
        }
        try
        {
            await tasks.WaitAsync(new WaitRequest { Id = id }, cancel);
            return await tasks.DeleteAsync(new DeleteRequest { Id = id }, cancel);
        }
        catch (TtrpcException e) when (e.Code == StatusCode.NotFound)
        {
            return null;
        }
    }

    /// <summary>Kills the process that holds the directory's lock: it wrote its pid there after it had taken the lock.</summary>
    private static async Task KillOwnerAsync(SandboxDirectory directory)
    {
        if (directory.Read() is not { Pid: > 1 } record || !directory.IsOwned())
            return;
        try
        {
            using var process = Processes.Open(record.Pid);
            if (directory.IsOwned())
                _ = Processes.Signal(process, SIGKILL);
        }
        catch (LinuxException e) when (e.Errno == Errno.ESRCH)
        {
        }
        for (var waited = TimeSpan.Zero; waited < DeathTime && directory.IsOwned(); waited += TimeSpan.FromMilliseconds(20))
            await Task.Delay(20);
    }
}
