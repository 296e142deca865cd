using KataLike.Agent.Containers;
using KataLike.Contract.Agent;
using KataLike.Contract.Oci;

namespace KataLike.Agent.Tests.Containers;

public class BlockDevicesTests
{
    [Fact]
    public void DevicesAndTheirRulesGetTheGuestsNumbers()
    {
        var linux = BlockDevices.Translate(
            new LinuxSpec
            {
                Devices = [new Device { Path = "/dev/a", Type = "c", Major = 7, Minor = 0 }, new Device { Path = "/dev/b", Type = "b", Major = 7, Minor = 0, FileMode = 0x180 }],
                Resources = new Resources
                {
                    Devices = [Rule("b", 7, 0), Rule("c", 7, 0), Rule("b", 7, null), Rule(null, null, null), Rule("b", 7, 1)],
                },
            },
            new Dictionary<int, (uint, uint)> { [1] = (254, 16) });
        Assert.Equal([("/dev/a", 7L, 0L, null), ("/dev/b", 254, 16, 0x180u)], linux.Devices!.Select(device => (device.Path, device.Major, device.Minor, device.FileMode)));
        Assert.Equal([Rule("b", 254, 16), Rule("c", 7, 0), Rule("b", 7, null), Rule(null, null, null), Rule("b", 7, 1)], linux.Resources!.Devices!);
    }

    [Fact]
    public void WithoutDisksNothingIsLookedFor() => Assert.Empty(BlockDevices.Find(new Overlay()));

    private static DeviceRule Rule(string? type, long? major, long? minor) => new() { Allow = true, Type = type, Major = major, Minor = minor, Access = "rw" };
}
