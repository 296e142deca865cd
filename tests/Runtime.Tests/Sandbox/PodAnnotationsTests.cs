using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public class PodAnnotationsTests
{
    private static readonly Configuration Allowing = Configuration.Parse("""
        [hypervisor]
        max_vcpus = 4
        max_memory_mib = 2048
        [guest]
        kernel_parameters = ["configured"]
        [annotations]
        allowed = ["vcpus", "memory_mib", "kernel_parameters"]
        [vm]
        kernel_parameters = ["quiet", "hugepages=*"]
        """, "test");

    private static Configuration Apply(Configuration configuration, params (string Key, string Value)[] annotations) =>
        PodAnnotations.Apply(annotations.ToDictionary(entry => entry.Key, entry => entry.Value), configuration);

    [Fact]
    public void WhatIsAllowedCounts()
    {
        var chosen = Apply(Allowing, ("katalike.io/vcpus", "3"), ("katalike.io/memory_mib", "1024"), ("katalike.io/kernel_parameters", "quiet  hugepages=4"), ("other/vcpus", "x"));
        Assert.Equal((3, 1024), (chosen.Vcpus, chosen.MemoryMib));
        Assert.Equal(["configured", "quiet", "hugepages=4"], chosen.KernelParameters);
        Assert.Equal(new Configuration(), PodAnnotations.Apply(null, new Configuration()));
    }

    [Theory]
    [InlineData("vcpus", "5", "5 must be an integer from 1 to 4")]
    [InlineData("vcpus", "-1", "must be an integer")]
    [InlineData("vcpus", " 1", "must be an integer")]
    [InlineData("memory_mib", "64", "must be an integer from 128 to 2048")]
    [InlineData("memory_mib", "99999999999", "must be an integer")]
    [InlineData("kernel_parameters", "init=/bin/sh", "init=/bin/sh")]
    [InlineData("kernel_parameters", "quiet\tinit=/bin/sh", "must not contain blanks")]
    [InlineData("memory", "1", "is not known: did you mean katalike.io/memory_mib?")]
    public void WhatCannotBeIsRefusedByName(string name, string value, string reason)
    {
        var error = Assert.Throws<OciException>(() => Apply(Allowing, ($"katalike.io/{name}", value)));
        Assert.Contains($"$.annotations['katalike.io/{name}']", error.Message, StringComparison.Ordinal);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NothingIsAllowedByItself()
    {
        foreach (var name in PodAnnotations.Names)
            Assert.Contains($"add \"{name}\" to allowed in [annotations]", Assert.Throws<OciException>(() => Apply(new Configuration(), ($"katalike.io/{name}", "1"))).Message, StringComparison.Ordinal);
    }
}
