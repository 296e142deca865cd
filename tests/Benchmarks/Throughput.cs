using System.Globalization;
using System.Text.RegularExpressions;

namespace KataLike.Benchmarks;

/// <summary>TCP between a container and the other end of its veth, as iperf3 counts it. Both ends are in namespaces of our own.</summary>
internal static partial class Throughput
{
    public static readonly Figure Into = new("TCP into the pod", "Mbit/s", "0", MoreIsBetter: true);
    public static readonly Figure OutOf = new("TCP out of the pod", "Mbit/s", "0", MoreIsBetter: true);

    public static readonly Figure[] Figures = [Into, OutOf];

    private const string PodAddress = "10.77.0.2", HostAddress = "10.77.0.1", Program = "/usr/bin/iperf3", Seconds = "5";
    private const int Attempts = 100;

    /// <summary>Why it cannot be measured here; null when it can.</summary>
    public static string? Missing => File.Exists(Program) ? null : $"{Program} is not there";

    /// <summary>A runtime that was told to have no network is left out.</summary>
    /// <param name="busybox">A root file system, which stays as it is.</param>
    /// <exception cref="CommandFailedException">The runtime or iperf3 failed.</exception>
    public static void Measure(ContainerRuntime runtime, string busybox, Results results)
    {
        if (runtime.Flags.Contains("--network=none"))
            return;
        var place = Directory.CreateTempSubdirectory("kl-bench-").FullName;
        var (host, pod) = ($"kl-bench-{Environment.ProcessId}-host", $"kl-bench-{Environment.ProcessId}-pod");
        using var scope = new Scope();
        string[] Runtime(params string[] arguments) => [.. runtime.Command($"{place}/root", arguments)];
        try
        {
            Connect(scope, host, pod);
            CopyProgram(scope, busybox, $"{place}/rootfs");
            var bundle = Bundle.MakeIn($"/run/netns/{pod}", $"{place}/bundle", $"{place}/rootfs", Program, "--server");
            scope.Run(Runtime("create", "--bundle", bundle, "iperf"));
            scope.Run(Runtime("start", "iperf"));
            results.Of(runtime, Into).Add(Transfer(scope, host));
            results.Of(runtime, OutOf).Add(Transfer(scope, host, "--reverse"));
        }
        finally
        {
            scope.Try(Runtime("delete", "--force", "iperf"));
            scope.Try(["ip", "netns", "delete", pod]);
            scope.Try(["ip", "netns", "delete", host]);
            Directory.Delete(place, recursive: true);
        }
    }

    private static void Connect(Scope scope, string host, string pod)
    {
        foreach (var command in (string[])
        [
            $"netns add {host}", $"netns add {pod}",
            $"-n {host} link add veth0 type veth peer name eth0 netns {pod}",
            $"-n {host} address add {HostAddress}/24 dev veth0", $"-n {pod} address add {PodAddress}/24 dev eth0",
            $"-n {host} link set veth0 up", $"-n {pod} link set eth0 up", $"-n {pod} link set lo up",
        ])
        {
            scope.Run(["ip", .. command.Split(' ')]);
        }
    }

    /// <summary>busybox's root file system with iperf3 and the libraries that it needs.</summary>
    private static void CopyProgram(Scope scope, string busybox, string rootfs)
    {
        scope.Run(["cp", "-a", busybox, rootfs]);
        scope.Run(["sh", "-c", $"ldd {Program} | grep -o '/[^ ]*' | while read file; do mkdir -p {rootfs}$(dirname $file) && cp -L $file {rootfs}$file; done; mkdir -p {rootfs}/usr/bin {rootfs}/tmp && cp {Program} {rootfs}/usr/bin/"]);
    }

    /// <summary>Once the server listens, and is done with the transfer before.</summary>
    private static double Transfer(Scope scope, string host, params string[] options)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                scope.Run(["ip", "netns", "exec", host, Program, "--client", PodAddress, "--time", Seconds, "--format", "m", .. options]);
                return Result().Match(scope.Output) is { Success: true } match ? double.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture)
                    : throw new CommandFailedException($"iperf3 told no result: {scope.Output}");
            }
            catch (CommandFailedException) when (attempt < Attempts)
            {
                Thread.Sleep(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    [GeneratedRegex(@"([\d.]+) Mbits/sec +receiver")]
    private static partial Regex Result();
}
