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
}
