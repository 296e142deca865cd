using KataLike.Contract.Oci;
using KataLike.Contract.Ttrpc;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public class LifecycleTests
{
    private const string Running = "cannot start an already running container", NotRunning = "container not running";

    /// <summary>The whole table: what each action makes of Created, Running, Paused and Stopped; in lower case: the refusal.</summary>
    public static TheoryData<string, string, string, string, string> Table => new()
    {
        { "Start", "Running", Running, Running, "cannot start a container that has stopped" },
        { "Exec", "Created", "Running", "cannot exec in a paused container (use --ignore-paused to override)", "cannot exec in a stopped container" },
        { "Signal", "Created", "Running", "Paused", NotRunning },
        { "Pause", NotRunning, "Paused", NotRunning, NotRunning },
        { "Resume", "container not paused", "container not paused", "Running", "container not paused" },
        { "Update", "Created", "Running", "Paused", NotRunning },
        {
            "Delete", "Stopped", "cannot delete container c1 that is not stopped: running",
            "cannot delete container c1 that is not stopped: paused", "Stopped"
        },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void EveryActionInEveryStatus(string action, string created, string running, string paused, string stopped)
    {
        string[] expected = [created, running, paused, stopped];
        foreach (var status in Enum.GetValues<ContainerStatus>())
            Assert.Equal(expected[(int)status], After(status, Enum.Parse<ContainerAction>(action)));
    }

    private static string After(ContainerStatus status, ContainerAction action)
    {
        try
        {
            return Lifecycle.After(status, action, "c1").ToString();
        }
        catch (TtrpcException error) when (error.Code == StatusCode.FailedPrecondition)
        {
            return error.Message;
        }
    }

    [Theory]
    [InlineData(null, null, null, 512, 1)]
    [InlineData(256L << 20, null, null, 768, 1)]
    [InlineData(-1L, -1L, null, 512, 1)]
    [InlineData(long.MaxValue, long.MaxValue, 1UL, 4096, 8)]
    [InlineData(null, 250_000L, 100_000UL, 512, 3)]
    [InlineData(null, 50_000L, null, 512, 1)]
    public void AMachineIsAsLargeAsItsLimitsButNoLargerThanTheHost(long? limit, long? quota, ulong? period, int memory, int processors)
    {
        var resources = new Resources
        {
            Memory = new MemoryLimits { Limit = limit },
            Cpu = new CpuLimits { Quota = quota, Period = period },
        };
        var spec = Spec.Default() with { Linux = new LinuxSpec { Resources = resources } };
        var size = SandboxSize.For(spec, new Configuration(), Accelerator.Tcg, 4096, 8);
        Assert.Equal((memory, processors, 4096, Math.Max(4, processors)), (size.MemoryMib, size.Vcpus, size.MaxMemoryMib, size.MaxVcpus));
    }

    [Fact]
    public void AnAnnotatedPodCountsAllOfItsContainers()
    {
        var spec = Spec.Default() with
        {
            Annotations = new Dictionary<string, string>
            {
                ["io.kubernetes.cri.sandbox-memory"] = $"{1L << 30}",
                ["io.kubernetes.cri.sandbox-cpu-quota"] = "400000",
                ["io.kubernetes.cri.sandbox-cpu-period"] = "100000",
            },
        };
        var size = SandboxSize.For(spec, new Configuration { MaxMemoryMib = 1024 }, Accelerator.Kvm, 4096, 8);
        Assert.Equal((1536, 4, 1536, 8), (size.MemoryMib, size.Vcpus, size.MaxMemoryMib, size.MaxVcpus));
    }

    [Theory]
    [InlineData("4-5", null, null, 2)]
    [InlineData("4-5", 2048UL, -1L, 2)]
    [InlineData("0-3,6-63", 2UL, null, 1)]
    [InlineData("4-5", 2048UL, 50_000L, 1)]
    [InlineData("0-2147483647", null, null, int.MaxValue)]
    [InlineData("5-4", null, null, 1)]
    public void ProcessorsOfAContainersOwnAreThere(string cpus, ulong? shares, long? quota, int processors)
    {
        var limits = new Resources { Cpu = new() { Cpus = cpus, Shares = shares, Quota = quota } };
        Assert.Equal(processors, SandboxSize.Needed(new Configuration(), [limits]).Vcpus);
        Assert.Equal(processors, SandboxSize.Needed(new Configuration(), [ResourceUpdate.Apply(limits, new Resources())]).Vcpus);
    }

    [Fact]
    public void TheLimitsOfAllContainersAddUp()
    {
        var one = new Resources { Memory = new() { Limit = 1L << 30 }, Cpu = new() { Quota = 150_000 } };
        Assert.Equal((512L + 2048, 3L), SandboxSize.Needed(new Configuration(), [one, null, one, new Resources()]));
        var all = new Resources { Memory = new() { Limit = long.MaxValue }, Cpu = new() { Quota = long.MaxValue, Period = 1 } };
        Assert.Equal((int.MaxValue, int.MaxValue), SandboxSize.Needed(new Configuration(), [all, all]));
    }
}
