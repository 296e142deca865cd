using KataLike.Runtime.Deploy;

namespace KataLike.Runtime.Tests.Deploy;

public class HostCheckTests
{
    [Theory]
    [InlineData("Auto", "flags : fpu vmx", true, "Ok")]
    [InlineData("Auto", "flags : fpu", true, "Note")]
    [InlineData("Auto", "flags : fpu vmx", false, "Note")]
    [InlineData("Tcg", "flags : fpu vmx", true, "Note")]
    [InlineData("Kvm", "", false, "Missing")]
    public void Kvm(string choice, string cpuinfo, bool deviceExists, string status) =>
        Assert.Equal(status, $"{HostChecks.Kvm(Enum.Parse<AcceleratorChoice>(choice), cpuinfo, deviceExists).Status}");

    [Theory]
    [InlineData("QEMU emulator version 7.2.22 (Debian 1:7.2)", "Ok")]
    [InlineData("QEMU emulator version 10.0.2", "Ok")]
    [InlineData("QEMU emulator version 6.2.0", "Note")]
    [InlineData(null, "Missing")]
    public void Qemu(string? version, string status) => Assert.Equal(status, $"{HostChecks.Qemu("/usr/bin/qemu", version).Status}");

    [Theory]
    [InlineData("6.18.44.595\n", "Ok")]
    [InlineData("5.4.0-generic", "Missing")]
    public void Kernel(string release, string status) => Assert.Equal(status, $"{HostChecks.Kernel(release).Status}");

    [Fact]
    public void ALineNamesWhatIsFoundAndTheRemedy() => Assert.Equal(
        "note    inotify: 128 watchers for each user: pods beyond so many are not told when a configmap changes; sysctl fs.inotify.max_user_instances=8192",
        $"{HostChecks.Watchers("128\n")}");

    [Fact]
    public void ThisHostIsCheckedWithoutAFault()
    {
        var checks = HostChecks.Run(new Host(""), null);
        Assert.Equal(checks.Count, checks.Select(check => check.Name).Distinct().Count());
        Assert.All(checks, check => Assert.DoesNotContain('\n', $"{check}"));
    }

    [Fact]
    public void APoolThatIsWantedAndNotKeptIsTold()
    {
        Assert.Empty(HostChecks.Pool(new Configuration(), isKept: false));
        var wanted = new Configuration { PoolSize = 2 };
        Assert.Equal(CheckStatus.Ok, Assert.Single(HostChecks.Pool(wanted, isKept: true)).Status);
        Assert.Equal(
            "note    pool: the configuration wants 2 machines to be ready, and nobody keeps them; systemctl enable --now katalike-pool",
            Assert.Single(HostChecks.Pool(wanted, isKept: false)).ToString());
    }
}
