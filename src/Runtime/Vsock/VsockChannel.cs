using KataLike.Linux;

namespace KataLike.Runtime.Vsock;

/// <summary>A host port that was opened for one connection, and that connection.</summary>
/// <param name="free">Gives the port back; done before <see cref="Finished"/>, so that who awaits it can open the port again.</param>
internal sealed class VsockChannel(uint port, Action closeSource, Action abort, Action? free = null)
{
    /// <summary>Smaller ports are left to services with fixed numbers.</summary>
    private const int FirstRandomPort = 1 << 20;

    private readonly TaskCompletionSource connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public uint Port { get; } = port;

    /// <summary>Ends when the guest has connected; cancelled when the channel ended before that.</summary>
    public Task Connected => connected.Task;

    /// <summary>
    /// Ends when everything that the guest sent is with the sink and no more will come: the guest shut down or
    /// closed its end, or the channel was aborted, or the machine is gone. Never fails.
    /// </summary>
    public Task Finished => finished.Task;

    /// <summary>Sends what the source holds now, then tells the guest that no more will come.</summary>
    public void CloseSource() => closeSource();

    /// <summary>Resets the connection and closes both descriptors; what was not delivered yet is lost.</summary>
    public void Abort() => abort();

    internal static uint RandomPort() => RandomBytes.Between(FirstRandomPort, int.MaxValue);

    internal void MarkConnected() => connected.TrySetResult();

    internal void MarkFinished()
    {
        Interlocked.Exchange(ref free, null)?.Invoke();
        connected.TrySetCanceled();
        finished.TrySetResult();
    }
}
