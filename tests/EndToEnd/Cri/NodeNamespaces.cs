using System.Diagnostics;
using System.Net.Sockets;
using KataLike.EndToEnd.Tests.Containerd;
using KataLike.Linux;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>
/// A network and a mount namespace that stand for a node: containerd, its bridge and everything that it starts live there, with
/// an empty /run and /var/lib/cni of their own. The machine's network and directories are never touched.
/// </summary>
internal sealed class NodeNamespaces : IAsyncDisposable
{
    private readonly Process _holder;

    private NodeNamespaces(Process holder) => _holder = holder;

    public int Pid => _holder.Id;

    public static async Task<NodeNamespaces> MakeAsync()
    {
        const string script = """
            set -e
            mkdir -p /var/lib/cni
            for empty in /run /var/lib/cni; do mount -t tmpfs -o mode=0755 node $empty; done
            touch /run/xtables.lock
            ip link set lo up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            echo ready
            exec sleep infinity
            """;
        var holder = Process.Start(new ProcessStartInfo("unshare", ["--net", "--mount", "--propagation", "private", "sh", "-c", script])
        {
            RedirectStandardOutput = true,
        })!;
        var line = await holder.StandardOutput.ReadLineAsync();
        Assert.Equal("ready", line);
        return new NodeNamespaces(holder);
    }

    /// <summary>The words before a command that is to run there.</summary>
    public string[] Enter => ["nsenter", "--target", $"{Pid}", "--net", "--mount", "--"];

    public Task<CommandResult> RunAsync(params string[] command) => HostCommand.RunAsync(Enter[0], [.. Enter[1..], .. command]);

    /// <summary>A path of the node, as seen from here.</summary>
    public string Path(string path) => $"/proc/{Pid}/root{path}";

    /// <summary>Connects from the node: a socket belongs to the namespace in which it was made.</summary>
    public async Task<Stream> ConnectAsync(string host, int port, CancellationToken cancel = default)
    {
        Socket? socket = null;
        using (var node = Processes.Open(Pid))
            NamespaceThread.Run(node, Linux.Namespaces.Network, default, () => socket = new Socket(SocketType.Stream, ProtocolType.Tcp));
        try
        {
            await socket!.ConnectAsync(host, port, cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket!.Dispose();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _holder.Kill();
        await _holder.WaitForExitAsync();
        _holder.Dispose();
    }
}
