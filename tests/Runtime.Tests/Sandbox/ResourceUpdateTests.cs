using KataLike.Contract.Oci;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public class ResourceUpdateTests
{
    private static readonly Resources Current = new()
    {
        Cpu = new CpuLimits { Quota = 5000, Period = 10000, Shares = 7 },
        Memory = new MemoryLimits { Limit = 100, Swap = 200 },
    };

    [Fact]
    public void WhatBelongsTogetherIsSentTogether()
    {
        var update = ResourceUpdate.Complete(new Resources { Cpu = new() { Quota = 6000 }, Memory = new() { Swap = 300 } }, Current);
        Assert.Equal(new CpuLimits { Quota = 6000, Period = 10000 }, update.Cpu);
        Assert.Equal(new MemoryLimits { Limit = 100, Swap = 300 }, update.Memory);

        var known = ResourceUpdate.Apply(update, Current);
        Assert.Equal(20000UL, ResourceUpdate.Complete(new Resources { Cpu = new() { Period = 20000 } }, known).Cpu!.Period);
        Assert.Equal(6000, ResourceUpdate.Complete(new Resources { Cpu = new() { Period = 20000 } }, known).Cpu!.Quota);
    }

    [Fact]
    public void NothingElseIsAdded()
    {
        var update = new Resources { Cpu = new() { Shares = 3 }, Memory = new() { Limit = 50 } };
        Assert.Equal(update, ResourceUpdate.Complete(update, Current));
        Assert.Equal(new CpuLimits { Quota = 1 }, ResourceUpdate.Complete(new Resources { Cpu = new() { Quota = 1 } }, null).Cpu);
    }
}
