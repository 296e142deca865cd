using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public class ShimArgumentsTests
{
    [Fact]
    public void Reads_what_containerd_1_6_gives_to_start()
    {
        var parsed = ShimArguments.Parse(["-namespace", "default", "-address", "/run/containerd/containerd.sock",
            "-publish-binary", "/usr/bin/containerd", "-id", "one", "-debug", "start"]);

        Assert.Equal(("default", "/run/containerd/containerd.sock", "/usr/bin/containerd", "one", true, "start"),
            (parsed.Namespace, parsed.Address, parsed.PublishBinary, parsed.Id, parsed.Debug, parsed.Action));
    }

    [Fact]
    public void Reads_the_other_spellings_of_Go()
    {
        var parsed = ShimArguments.Parse(["--namespace=n", "-id=a=b", "-debug=false", "--bundle", "-x", "--", "delete"]);

        Assert.Equal(("n", "a=b", false, "-x", "delete"), (parsed.Namespace, parsed.Id, parsed.Debug, parsed.Bundle, parsed.Action));
    }

    [Theory]
    [InlineData("-nosuch", "flag provided but not defined: -nosuch")]
    [InlineData("-id", "flag needs an argument: -id")]
    [InlineData("-debug=maybe", "invalid boolean value \"maybe\" for -debug")]
    public void Refuses_as_Go_does(string argument, string message)
    {
        // The value is there where one is needed for the refusal to be about the name.
        string[] arguments = argument == "-nosuch" ? [argument, "value"] : [argument];
        Assert.Equal(message, Assert.Throws<RuntimeException>(() => ShimArguments.Parse(arguments)).Message);
    }
}
