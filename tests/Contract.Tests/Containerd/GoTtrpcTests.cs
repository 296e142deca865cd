using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Ttrpc;
using Xunit.Abstractions;

namespace KataLike.Contract.Tests.Containerd;

/// <summary>Our ttrpc against containerd's own, in both directions.</summary>
public sealed class GoTtrpcTests(ITestOutputHelper output) : IDisposable
{
    private const string Containerd = "/run/containerd/containerd.sock";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _namespace = $"katalike-test-{Environment.ProcessId}";
    private readonly string _bundle = Directory.CreateTempSubdirectory("katalike-").FullName;

    /// <summary>Where containerd's `ctr shim` looks for a shim: pkg/shim/util_unix.go.</summary>
    private string Address => "/run/containerd/s/" + Convert.ToHexStringLower(
        SHA256.HashData(Encoding.UTF8.GetBytes($"{Containerd}/{_namespace}/c1")));

    public void Dispose()
    {
        Directory.Delete(_bundle, recursive: true);
        File.Delete(Address);
    }

    [SkippableFact]
    public async Task ContainerdsClientReadsOurServer()
    {
        Skip.IfNot(File.Exists("/usr/bin/ctr"), "containerd is not installed");
        _ = Directory.CreateDirectory("/run/containerd/s");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Address));
        listener.Listen();
        using var stop = new CancellationTokenSource();
        var service = new TtrpcService(TaskServiceTable.ServiceV2)
            .Method("State", StateRequest.Parser, (request, _) => request.Id == "c1"
                ? Task.FromResult(new StateResponse { Id = request.Id, Bundle = _bundle, Pid = 42, ExitedAt = new Timestamp() })
                : throw new TtrpcException(StatusCode.NotFound, "not found"));
        var serving = new TtrpcServer(service).ListenAsync(listener, stop.Token);

        var (exit, text) = await RunAsync("/usr/bin/ctr", "-n", _namespace, "shim", "--id", "c1", "state");
        Assert.True(exit == 0 && text.Contains(_bundle) && text.Contains("42"), text);
        (exit, text) = await RunAsync("/usr/bin/ctr", "-n", _namespace, "shim", "--id", "c1", "delete");
        Assert.Equal(1, exit);
        Assert.Contains("code = Unimplemented desc = method Delete", text);

        await stop.CancelAsync();
        await serving.WaitAsync(Patience);
    }

    [SkippableFact]
    public async Task OurClientTalksToContainerdsShim()
    {
        Skip.IfNot(File.Exists("/usr/bin/containerd-shim-runc-v2"), "containerd is not installed");
        await File.WriteAllTextAsync(Path.Combine(_bundle, "config.json"), KataLike.Contract.Oci.Spec.Default().ToJson());
        Assert.Equal(0, (await RunAsync("/usr/bin/mkfifo", "log")).Exit);
        // Both ends: neither the shim nor we wait for the other to open it.
        using var log = new FileStream(Path.Combine(_bundle, "log"), FileMode.Open, FileAccess.ReadWrite);
        var (exit, address) = await RunAsync(
            "/usr/bin/containerd-shim-runc-v2", "-namespace", _namespace, "-id", "c1", "-address", Containerd, "start");
        Assert.True(exit == 0, address);
        Assert.Equal($"unix://{Address}", address.Trim());

        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Address));
        await using var connection = new TtrpcClient(new SocketStream(socket));
        var client = new TaskClient(connection);
        try
        {
            var missing = await Assert.ThrowsAsync<TtrpcException>(() => client.StateAsync(new StateRequest { Id = "c2" }));
            Assert.Equal((StatusCode.NotFound, "container not created: not found"), (missing.Code, missing.Message));
            var unknown = await Assert.ThrowsAsync<TtrpcException>(
                () => new TaskClient(connection, "no.such.Service").StateAsync(new StateRequest()));
            Assert.Equal((StatusCode.Unimplemented, "service no.such.Service"), (unknown.Code, unknown.Message.Split(": ")[0]));
        }
        finally
        {
            // The shim ends itself upon this, perhaps before it has answered.
            _ = await Task.WhenAny(client.ShutdownAsync(new ShutdownRequest { Id = "c1", Now = true }));
        }
        output.WriteLine(await connection.Closed.WaitAsync(Patience));
    }

    private async Task<(int Exit, string Text)> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = _bundle,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TTRPC_ADDRESS"] = $"{Containerd}.ttrpc";
        using var process = Process.Start(start)!;
        var standardError = process.StandardError.ReadToEndAsync();
        string text = await process.StandardOutput.ReadToEndAsync().WaitAsync(Patience) + await standardError.WaitAsync(Patience);
        await process.WaitForExitAsync().WaitAsync(Patience);
        return (process.ExitCode, text);
    }
}
