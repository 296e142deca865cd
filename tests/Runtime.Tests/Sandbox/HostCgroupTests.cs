using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public sealed class HostCgroupTests
{
    [Theory]
    [InlineData("/kubepods/burstable/pod1/abc", "kubepods/burstable/pod1/abc")]
    [InlineData("kubepods-burstable-pod1.slice:cri-containerd:abc", "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope")]
    [InlineData("/../../etc/./passwd", "etc/passwd")]
    [InlineData("", "")]
    public void The_path_is_where_the_host_has_it(string cgroupsPath, string expected) =>
        Assert.Equal(expected, HostCgroup.PathOf(cgroupsPath));

    [Fact]
    public void A_process_follows_another_into_the_hierarchies_where_it_is_elsewhere()
    {
        string[] mounts =
        [
            "1 0 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "2 0 0:2 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
            "3 0 0:3 /part /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
            "4 0 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate",
        ];
        string[] lines = ["12:cpu,cpuacct:/pool-test/a:b:c", "1:name=systemd:/x.scope", "7:pids:/y", "9:memory:/z", "0::/u", "5:cpu,cpuacct:/../out", "nonsense"];
        Assert.Equal(
            ["/sys/fs/cgroup/cpu,cpuacct/pool-test/a:b:c", "/sys/fs/cgroup/systemd/x.scope", "/sys/fs/cgroup/unified/u"],
            HostCgroup.OfProcess(lines, mounts).Paths);
        Assert.Empty(HostCgroup.OfProcess(HostCgroup.OwnMemberships(), mounts).Paths);
    }
}
