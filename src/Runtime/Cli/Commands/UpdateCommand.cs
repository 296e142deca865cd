using System.Globalization;
using System.Text.RegularExpressions;
using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Cli.Commands;

internal static partial class UpdateCommand
{
    public static Command Command { get; } = new("update", "update container resource constraints", RunAsync)
    {
        Flags =
        [
            Flag.Text("resources, r", "path to a file with linux.resources as in config.json, or '-' to read from the standard input; the other options are ignored then"),
            Flag.Integer("blkio-weight", "Specifies per cgroup weight, range is from 10 to 1000"),
            Flag.Text("cpu-period", "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"),
            Flag.Text("cpu-quota", "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
            Flag.Text("cpu-burst", "CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time additionally for burst a given period"),
            Flag.Text("cpu-share", "CPU shares (relative weight vs. other containers)"),
            Flag.Text("cpu-rt-period", "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default"),
            Flag.Text("cpu-rt-runtime", "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period"),
            Flag.Text("cpuset-cpus", "CPU(s) to use"),
            Flag.Text("cpuset-mems", "Memory node(s) to use"),
            Flag.Text("cpu-idle", "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"),
            Flag.Text("kernel-memory", "accepted and ignored, as by runc"),
            Flag.Text("kernel-memory-tcp", "accepted and ignored, as by runc"),
            Flag.Text("memory", "Memory limit (in bytes)"),
            Flag.Text("memory-reservation", "Memory reservation or soft_limit (in bytes)"),
            Flag.Text("memory-swap", "Total memory usage (memory + swap); set '-1' to enable unlimited swap"),
            Flag.Integer("pids-limit", "Maximum number of pids allowed in the container"),
            Flag.Text("l3-cache-schema", "refused: there is no Intel RDT in a virtual machine"),
            Flag.Text("mem-bw-schema", "refused: there is no Intel RDT in a virtual machine"),
        ],
    };

    private static async Task<int> RunAsync(Invocation invocation)
    {
        var root = new StateRoot(invocation.Global.Root);
        var state = ContainerState.Load(root, invocation.ContainerId);
        var resources = From(invocation.Options);
        foreach (var ignored in (string[])["kernel-memory", "kernel-memory-tcp"])
        {
            if (invocation.Options.Has(ignored))
                invocation.Log.Warning($"--{ignored} is ignored: kernel memory has no limit of its own");
        }
        await using var sandbox = ContainerStatusQuery.Live(root, state, "container not running");
        await sandbox.UpdateAsync(state.Id, resources.ToUtf8Json());
        return 0;
    }

    /// <exception cref="RuntimeException">A value or the file is not understood; in runc's words.</exception>
    internal static Resources From(Options options)
    {
        if (options.Text("resources") is { } file)
            return Read(file);
        if (options.Text("l3-cache-schema") is not null || options.Text("mem-bw-schema") is not null)
            throw new RuntimeException("Intel RDT is not supported: there is none in a virtual machine");
        return new Resources
        {
            BlockIo = options.Integer("blkio-weight") is not 0 and var weight ? new() { Weight = (ushort)Math.Clamp(weight, 0, ushort.MaxValue) } : null,
            Cpu = new()
            {
                Period = Unsigned(options, "cpu-period"),
                Quota = Signed(options, "cpu-quota"),
                Burst = Unsigned(options, "cpu-burst"),
                Shares = Unsigned(options, "cpu-share"),
                RealtimePeriod = Unsigned(options, "cpu-rt-period"),
                RealtimeRuntime = Signed(options, "cpu-rt-runtime"),
                Cpus = options.Text("cpuset-cpus"),
                Mems = options.Text("cpuset-mems"),
                Idle = Signed(options, "cpu-idle"),
            },
            Memory = new()
            {
                Limit = Size(options, "memory"),
                Reservation = Size(options, "memory-reservation"),
                Swap = Size(options, "memory-swap"),
            },
            Pids = options.Integer("pids-limit") is not 0 and var pids ? new() { Limit = pids } : null,
        };
    }

    private static Resources Read(string file)
    {
        try
        {
            var json = file == "-" ? StandardStreams.ReadInput() : File.ReadAllBytes(file);
            // As runc, which takes devices at the start only.
            return Resources.Parse(json) with { Devices = null };
        }
        catch (Exception e) when (e is OciException or IOException or UnauthorizedAccessException or LinuxException)
        {
            throw new RuntimeException(file == "-" ? e.Message : $"{file}: {e.Message}", cause: e);
        }
    }

    private static ulong? Unsigned(Options options, string name) => options.Text(name) is not { } text ? null
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value
        : throw Invalid(name, $"strconv.ParseUint: parsing \"{text}\": invalid syntax");

    private static long? Signed(Options options, string name) => options.Text(name) is not { } text ? null
        : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) ? value
        : throw Invalid(name, $"strconv.ParseInt: parsing \"{text}\": invalid syntax");

    /// <summary>Bytes, with a unit of 1024 to some power if one follows: "64m", "1.5 GiB"; -1: no limit.</summary>
    private static long? Size(Options options, string name)
    {
        if (options.Text(name) is not { } text)
            return null;
        if (text == "-1")
            return -1;
        var match = SizeForm().Match(text);
        if (!match.Success || !decimal.TryParse(match.Groups[1].ValueSpan, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
            throw Invalid(name, $"invalid size: '{text}'");
        var power = match.Groups[2].Length == 0 ? 0 : "kmgtp".IndexOf(char.ToLowerInvariant(match.Groups[2].Value[0]), StringComparison.Ordinal) + 1;
        var bytes = (double)number * Math.Pow(1024, power);
        return bytes < long.MaxValue ? (long)bytes : throw Invalid(name, $"invalid size: '{text}'");
    }

    private static RuntimeException Invalid(string name, string reason) => new($"invalid value for {name}: {reason}");

    [GeneratedRegex("^([0-9]+(?:\\.[0-9]+)?) ?([kmgtp])?i?b?$", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex SizeForm();
}
