using System.Diagnostics;
using System.Net.Sockets;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Ttrpc;
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
    private static readonly TimeSpan AllTime = TimeSpan.FromSeconds(4.5), AskTime = TimeSpan.FromSeconds(2.5);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    public static async Task<DeleteResponse> RunAsync(ShimArguments arguments, string bundle)
    {
        var started = Stopwatch.StartNew();
        var group = GroupOf(bundle, arguments.Id);
        StateRoot.ValidateId(group);
        var address = AddressOf(bundle) ?? ShimAddress.For(arguments.Address, arguments.Namespace, group);
        var directory = new StateRoot(ShimStart.Root(arguments.Namespace)).Sandbox(group);

        if (await AskAsync(address, arguments.Id, endSandbox: group == arguments.Id) is { } answer)
        {
            // It ends by itself, unless it has other containers; what it leaves, should it die now, is removed all the same.
            while (group == arguments.Id && !directory.RemoveStale() && started.Elapsed < AllTime)
                await Task.Delay(Pause);
            return answer;
        }
        directory.Destroy((int)(AllTime - started.Elapsed).TotalMilliseconds);
        RemoveCgroup(bundle);
        ShimAddress.RemoveDead(address);
        return new DeleteResponse { ExitStatus = KilledStatus, ExitedAt = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow) };
    }

    /// <summary>A bundle that is half gone belongs to a container alone.</summary>
    private static string GroupOf(string bundle, string id)
    {
        try
        {
            return Bundle.Load(bundle).Group ?? id;
        }
        catch (RuntimeException)
        {
            return id;
        }
    }

    private static void RemoveCgroup(string bundle)
    {
        try
        {
            HostCgroup.Of(Bundle.Load(bundle).Spec, File.ReadLines("/proc/self/mountinfo")).Remove();
        }
        catch (RuntimeException)
        {
            // Without a specification nobody knows which it was.
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
}
