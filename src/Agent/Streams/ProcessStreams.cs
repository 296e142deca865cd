using KataLike.Agent.Containers;
using KataLike.Linux;

namespace KataLike.Agent.Streams;

/// <summary>The standard streams of one process: its pipes or terminal here, the host's one-shot ports there.</summary>
internal sealed class ProcessStreams : IDisposable
{
    // What the host may send before the process reads it, bytes: it need not wait for a word from here in the meantime.
    private const ulong Window = 1024 * 1024;

    // The last that a process has written waits this long for a reader that has stalled; then its end is told all the same.
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(5);

    private readonly EventLoop _loop;
    private readonly List<FileDescriptor> _childEnds = [];
    private readonly List<Relay> _inputs = [];
    private readonly List<Relay> _outputs = [];
    private FileDescriptor? _terminalSocket;
    private FileDescriptor? _terminal;

    private ProcessStreams(EventLoop loop) => _loop = loop;

    /// <summary>The child's ends.</summary>
    public Stdio Stdio { get; private set; } = null!;

    /// <summary>Dials the ports that the host has opened, and makes the pipes.</summary>
    /// <exception cref="LinuxException">A port is not open.</exception>
    public static ProcessStreams Open(EventLoop loop, Contract.Agent.Streams? ports)
    {
        ports ??= new Contract.Agent.Streams();
        var streams = new ProcessStreams(loop);
        try
        {
            if (ports.Terminal != 0)
            {
                streams._terminalSocket = Dial(ports.Terminal);
            }
            streams.Stdio = new Stdio
            {
                Input = streams.OpenInput(ports.Stdin),
                Output = streams.OpenOutput(ports.Stdout),
                Error = streams.OpenOutput(ports.Stderr),
                Terminal = ports.Terminal != 0,
                Columns = (ushort)Math.Min(ports.Columns, ushort.MaxValue),
                Rows = (ushort)Math.Min(ports.Rows, ushort.MaxValue),
            };
            return streams;
        }
        catch
        {
            streams.Dispose();
            throw;
        }
    }

    /// <summary>The process is there: its ends are its own from here on, and so the streams can end.</summary>
    /// <param name="terminal">The master, owned by this object from here on.</param>
    public void Attach(FileDescriptor? terminal)
    {
        CloseChildEnds();
        if (terminal is null || _terminalSocket is null)
        {
            terminal?.Dispose();
            return;
        }
        _terminal = terminal;
        // Bytes can be spliced only where one side is a pipe: each way goes through one.
        var (inRead, inWrite) = Files.Pipe();
        _inputs.Add(new Relay(_loop, _terminalSocket.Duplicate(), inWrite));
        _inputs.Add(new Relay(_loop, inRead, terminal.Duplicate()));
        var (outRead, outWrite) = Files.Pipe();
        _outputs.Add(new Relay(_loop, terminal.Duplicate(), outWrite));
        _outputs.Add(new Relay(_loop, outRead, _terminalSocket));
    }

    /// <summary>Does nothing without a terminal.</summary>
    public void Resize(uint columns, uint rows)
    {
        if (_terminal is { IsClosed: false })
        {
            Terminals.SetSize(_terminal, (ushort)Math.Min(columns, ushort.MaxValue), (ushort)Math.Min(rows, ushort.MaxValue));
        }
    }

    /// <summary>To be awaited after the process has ended: hands on what it had written.</summary>
    /// <returns>Whether a stream goes on: another process holds it, or the host's reader has stalled.</returns>
    public async Task<bool> DrainAsync()
    {
        // Nobody reads the input any more. A terminal's outlives its output otherwise.
        _inputs.ForEach(relay => relay.Abort());
        var drained = DrainOutputsAsync();
        if (await Task.WhenAny(drained, Task.Delay(DrainLimit)) == drained)
        {
            await drained;
        }
        return _outputs.Exists(relay => !relay.Ended.IsCompleted);
    }

    /// <summary>Ends every stream, whatever is still in it.</summary>
    public void Dispose()
    {
        CloseChildEnds();
        _inputs.ForEach(relay => relay.Abort());
        _outputs.ForEach(relay => relay.Abort());
        _terminal?.Dispose();
        if (_outputs.Count == 0)
        {
            _terminalSocket?.Dispose();
        }
    }

    private async Task DrainOutputsAsync()
    {
        // In order: the second half of a terminal's way is empty only after the first is.
        foreach (var relay in _outputs)
        {
            await relay.EmptyAsync();
        }
    }

    private static FileDescriptor Dial(uint port) => VsockSockets.Connect(VsockSockets.HostCid, port, Window);

    private FileDescriptor? OpenInput(uint port)
    {
        if (port == 0)
        {
            return null;
        }
        var socket = Dial(port);
        var (read, write) = Splicing.Pipe(Relay.PipeCapacity);
        _childEnds.Add(read);
        _inputs.Add(new Relay(_loop, socket, write));
        return read;
    }

    private FileDescriptor? OpenOutput(uint port)
    {
        if (port == 0)
        {
            return null;
        }
        var socket = Dial(port);
        var (read, write) = Splicing.Pipe(Relay.PipeCapacity);
        _childEnds.Add(write);
        _outputs.Add(new Relay(_loop, read, socket));
        return write;
    }

    private void CloseChildEnds() => _childEnds.ForEach(end => end.Dispose());
}
