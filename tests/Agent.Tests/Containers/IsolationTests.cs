using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;
using Namespace = KataLike.Contract.Oci.Namespace;

namespace KataLike.Agent.Tests.Containers;

/// <summary>User and time namespaces, hooks and scheduling, seen from inside; on this machine's kernel.</summary>
public sealed class IsolationTests(ContainerFixture fixture) : IClassFixture<ContainerFixture>
{
    private static void NeedsHost() => Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);

    private static Spec With(Spec spec, params Namespace[] namespaces) =>
        spec with { Linux = spec.Linux! with { Namespaces = [.. spec.Linux.Namespaces!, .. namespaces] } };

    private static Spec Mapped(Spec spec, uint first = 100_000)
    {
        spec = With(spec, new Namespace { Type = "user" }, new Namespace { Type = "cgroup" });
        return spec with
        {
            Linux = spec.Linux! with
            {
                UidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 1000 }, new IdMapping { ContainerId = 1000, HostId = first + 5000, Size = 1 }],
                GidMappings = [new IdMapping { ContainerId = 0, HostId = first, Size = 2000 }],
            },
        };
    }

    private static ProcessSpec Everything(ProcessSpec process) => process with
    {
        Capabilities = new Capabilities { Bounding = All, Effective = All, Permitted = All },
    };

    private static IReadOnlyList<string> All { get; } =
        ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_TIME"];

    [SkippableFact]
    public void UserNamespaceMapsSeveralRanges()
    {
        NeedsHost();
        var spec = Mapped(ContainerFixture.SpecOf(
            "cat /proc/self/uid_map; id -u; touch /tmp/mine; chmod 600 /dev/null; stat -c '%u:%g %n' /tmp/mine /dev /dev/null /dev/pts /proc/self/status; echo x >/dev/null && echo written; mknod /tmp/node c 1 3"));
        var rootfs = fixture.MakeRootfs(root => File.SetUnixFileMode($"{root}/tmp", (UnixFileMode)0x3ff));
        var (output, _) = fixture.Run(spec with { Process = Everything(spec.Process!) }, rootfs);
        Assert.Equal(
            [
                "0 100000 1000", "1000 105000 1", "0", "0:0 /tmp/mine", "0:0 /dev", "0:0 /dev/null", "0:0 /dev/pts", "0:0 /proc/self/status",
                "written", "mknod: /tmp/node: Operation not permitted", "",
            ],
            output.Split('\n').Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries))));
    }
}
