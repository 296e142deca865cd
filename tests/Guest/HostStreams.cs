using System.Text;
using KataLike.Contract.Agent;
using KataLike.Linux;
using KataLike.Runtime.Vsock;

namespace KataLike.Guest.Tests;

/// <summary>The host's ends of one process's streams.</summary>
internal sealed class HostStreams : IDisposable
{
    private readonly List<VsockChannel> _channels = [];
    private readonly List<FileDescriptor> _ends = [];

    private HostStreams()
    {
    }

    /// <summary>As the RPCs name them.</summary>
    public Streams Ports { get; } = new();

    /// <summary>Writes to the process; its disposal is the end of the file.</summary>
    public FileDescriptor Input { get; private set; } = null!;

    /// <summary>What the process writes, to its end.</summary>
    public Task<byte[]> Output { get; private set; } = null!;

    public Task<byte[]> Error { get; private set; } = null!;

    public Task<string> Text => Output.ContinueWith(output => Encoding.UTF8.GetString(output.Result), TaskScheduler.Default);

    /// <summary>Three pipes.</summary>
    public static HostStreams Pipes(IVsock vsock)
    {
        var streams = new HostStreams();
        var (inRead, inWrite) = Files.Pipe();
        streams.Ports.Stdin = streams.Add(vsock.Open(0, inRead, null));
        streams.Input = streams.Own(inWrite);
        var (outRead, outWrite) = Files.Pipe();
        streams.Ports.Stdout = streams.Add(vsock.Open(0, null, outWrite));
        streams.Output = ReadAsync(streams.Own(outRead));
        var (errorRead, errorWrite) = Files.Pipe();
        streams.Ports.Stderr = streams.Add(vsock.Open(0, null, errorWrite));
        streams.Error = ReadAsync(streams.Own(errorRead));
        return streams;
    }

    /// <summary>A pipe for the output that nobody reads.</summary>
    public static HostStreams Stalled(IVsock vsock)
    {
        var streams = new HostStreams();
        var (read, write) = Files.Pipe();
        streams.Ports.Stdout = streams.Add(vsock.Open(0, null, write));
        streams.Own(read);
        return streams;
    }

    public static HostStreams Terminal(IVsock vsock, uint columns, uint rows)
    {
        var streams = new HostStreams();
        var (ours, theirs) = UnixSockets.Pair();
        streams.Ports.Terminal = streams.Add(vsock.Open(0, theirs, theirs));
        (streams.Ports.Columns, streams.Ports.Rows) = (columns, rows);
        streams.Input = streams.Own(ours);
        streams.Output = ReadAsync(ours);
        return streams;
    }

    public void Write(string text)
    {
        for (ReadOnlySpan<byte> rest = Encoding.UTF8.GetBytes(text); rest.Length > 0;)
        {
            rest = rest[Files.Write(Input, rest)..];
        }
    }

    public void Dispose()
    {
        _channels.ForEach(channel => channel.Abort());
        _ends.ForEach(end => end.Dispose());
    }

    private uint Add(VsockChannel channel)
    {
        _channels.Add(channel);
        return channel.Port;
    }

    private FileDescriptor Own(FileDescriptor end)
    {
        _ends.Add(end);
        return end;
    }

    private static Task<byte[]> ReadAsync(FileDescriptor source) => Task.Factory.StartNew(
        () =>
        {
            using var all = new MemoryStream();
            var buffer = new byte[64 * 1024];
            for (nint count; (count = Files.TryRead(source, buffer)) > 0;)
            {
                all.Write(buffer.AsSpan(0, (int)count));
            }
            return all.ToArray();
        },
        TaskCreationOptions.LongRunning);
}
