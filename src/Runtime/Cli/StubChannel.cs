using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime.Cli;

/// <summary>One end of a stub's connection: whole lines out, whole lines in. Receiving blocks; one thread receives.</summary>
internal sealed class StubChannel(FileDescriptor socket) : IDisposable
{
    private readonly byte[] buffer = new byte[StubMessage.MaxLength];
    private int filled;

    public FileDescriptor Socket => socket;

    /// <summary>A line has been read that nobody has received yet.</summary>
    public bool HasLine => buffer.AsSpan(0, filled).Contains((byte)'\n');

    /// <returns>False when the peer has gone.</returns>
    public unsafe bool Send(StubMessage message, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        var line = Encoding.UTF8.GetBytes(message.Format() + "\n");
        fixed (byte* pointer = line)
        {
            // SAFETY: the vector lives as long as the array is pinned. A line is far shorter than a socket's buffer.
            var vector = new IoVector((nint)pointer, line.Length);
            return UnixSockets.TrySend(socket, [vector], descriptors, wait: true) == line.Length;
        }
    }

    /// <summary>Waits for the next line; null when the peer has gone or what it sends is not of this protocol.</summary>
    public StubMessage? Receive(ICollection<FileDescriptor>? descriptors = null)
    {
        while (true)
        {
            var end = Array.IndexOf(buffer, (byte)'\n', 0, filled);
            if (end >= 0)
            {
                var line = Encoding.UTF8.GetString(buffer, 0, end);
                filled -= end + 1;
                buffer.AsSpan(end + 1, filled).CopyTo(buffer);
                return StubMessage.Parse(line);
            }
            if (filled == buffer.Length || !Fill(descriptors))
                return null;
        }
    }

    public void Dispose() => socket.Dispose();

    private bool Fill(ICollection<FileDescriptor>? descriptors)
    {
        var stray = new List<FileDescriptor>();
        var count = UnixSockets.TryReceive(socket, buffer.AsSpan(filled), descriptors ?? stray, wait: true);
        stray.ForEach(d => d.Dispose());
        if (count <= 0)
            return false;
        filled += (int)count;
        return true;
    }
}
