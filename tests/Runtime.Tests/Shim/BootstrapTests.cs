using System.Text;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.Bootstrap;
using KataLike.Runtime.Shim;
using RuntimeOptions = KataLike.Contract.Containerd.RuntimeOptions.Options;

namespace KataLike.Runtime.Tests.Shim;

public class BootstrapTests
{
    private const string Address = "unix:///run/containerd/s/0";

    private static readonly ShimArguments Arguments = ShimArguments.Parse(["-namespace", "default", "-id", "one", "start"]);

    private static Bootstrap Parse(byte[] input) =>
        Bootstrap.Parse(input, Arguments, name => name == "TTRPC_ADDRESS" ? "/run/c.sock.ttrpc" : null);

    [Fact]
    public void Without_input_the_answer_is_the_plain_address()
    {
        var bootstrap = Parse([]);

        Assert.Equal("/run/c.sock.ttrpc", bootstrap.TtrpcAddress);
        Assert.Null(bootstrap.Options);
        Assert.Equal(Address, Encoding.UTF8.GetString(bootstrap.Answer(Address)));
    }

    /// <summary>What ctr 1.6 sends: an Any with empty options of runc.</summary>
    [Fact]
    public void Options_of_runc_are_passed_over()
    {
        byte[] recorded = [0x0a, 0x1a, .. Encoding.ASCII.GetBytes("containerd.runc.v1.Options")];

        var bootstrap = Parse(recorded);

        Assert.False(bootstrap.Protobuf);
        Assert.Null(bootstrap.Options);
    }

    [Theory]
    [InlineData("runtimeoptions.v1.Options")]
    [InlineData("type.googleapis.com/runtimeoptions.v1.Options")]
    public void Options_of_CRI_name_the_configuration(string typeUrl)
    {
        var any = new Any { TypeUrl = typeUrl, Value = new RuntimeOptions { ConfigPath = "/etc/k.toml" }.ToByteString() };

        Assert.Equal("/etc/k.toml", Parse(any.ToByteArray()).Options?.ConfigPath);
    }

    [Fact]
    public void Parameters_of_containerd_2_3_are_answered_in_protobuf()
    {
        var parameters = new BootstrapParams
        {
            InstanceId = "one",
            Namespace = "default",
            ContainerdTtrpcAddress = "/t",
            SocketDir = "/run/x",
        };
        var options = new RuntimeOptions { ConfigPath = "/etc/k.toml" };
        parameters.Extensions.Add(new KataLike.Contract.Containerd.Bootstrap.Extension { Value = new Any { TypeUrl = "runtimeoptions.v1.Options", Value = options.ToByteString() } });

        var bootstrap = Parse(parameters.ToByteArray());
        var answer = BootstrapResult.Parser.ParseFrom(bootstrap.Answer(Address));

        Assert.Equal(("/t", "/run/x", "/etc/k.toml"), (bootstrap.TtrpcAddress, bootstrap.SocketDirectory, bootstrap.Options?.ConfigPath));
        Assert.Equal((3, Address, "ttrpc"), (answer.Version, answer.Address, answer.Protocol));
        var mounts = Assert.Single(answer.Extensions).Value;
        Assert.Equal("containerd.types.MountCapabilities", mounts.TypeUrl);
        Assert.Equal("[ \"format\", \"mkdir\" ]", MountCapabilities.Parser.ParseFrom(mounts.Value).Transforms.ToString());
        Assert.Equal("format/*,mkdir/*,erofs", ShimCommand.Info().Annotations["containerd.io/runtime-allow-mounts"]);
    }

    [Fact]
    public void Parameters_of_another_container_do_not_count()
    {
        var parameters = new BootstrapParams { InstanceId = "two", Namespace = "default", ContainerdTtrpcAddress = "/t" };

        Assert.False(Parse(parameters.ToByteArray()).Protobuf);
    }

    [Fact]
    public void Bytes_that_are_no_protobuf_are_no_options() => Assert.Null(Parse([0xff, 0xff, 0xff]).Options);
}
