using System.Security.Cryptography;
using System.Text;
using KataLike.Runtime.Shim;

namespace KataLike.Runtime.Tests.Shim;

public sealed class ShimAddressTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kl-shim-");

    public void Dispose() => _directory.Delete(recursive: true);

    /// <summary>The value that containerd-shim-runc-v2 1.6.20 gave for these three.</summary>
    [Fact]
    public void The_name_is_that_of_containerd_itself()
    {
        var expected = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes("/run/containerd/containerd.sock/default/one")));

        Assert.Equal($"unix:///run/containerd/s/{expected}", ShimAddress.For("/run/containerd/containerd.sock", "default", "one"));
    }

    [Fact]
    public void A_directory_that_makes_the_path_too_long_is_refused() => Assert.Contains(
        "longer than 106 bytes", Assert.Throws<RuntimeException>(() => ShimAddress.For("a", "b", "c", "/" + new string('d', 60))).Message);

    [Fact]
    public void A_living_socket_stays_and_a_dead_one_is_replaced()
    {
        var address = $"unix://{_directory.FullName}/s/socket";

        using (var first = ShimAddress.Listen(address))
        {
            Assert.NotNull(first);
            Assert.Null(ShimAddress.Listen(address));
            using var connection = ShimAddress.Connect(address);
            Assert.NotNull(connection);
        }
        Die(address);
        using var second = ShimAddress.Listen(address);
        Assert.NotNull(second);

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode($"{_directory.FullName}/s/socket"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode($"{_directory.FullName}/s"));
        ShimAddress.Remove(address);
        Assert.False(File.Exists($"{_directory.FullName}/s/socket"));
        ShimAddress.Remove(address);
    }

    [Fact]
    public void Only_a_dead_socket_is_removed_for_another()
    {
        var address = $"unix://{_directory.FullName}/s/socket";
        using (ShimAddress.Listen(address))
        {
            ShimAddress.RemoveDead(address);
            Assert.True(File.Exists($"{_directory.FullName}/s/socket"));
        }
        Die(address);
        ShimAddress.RemoveDead(address);
        Assert.False(File.Exists($"{_directory.FullName}/s/socket"));
        ShimAddress.RemoveDead(address);
        ShimAddress.RemoveDead($"unix://{_directory.FullName}/nowhere/socket");
    }

    /// <summary>Waits until nobody answers: a child that another test starts just now has the listener until it executes its program.</summary>
    private static void Die(string address) => Assert.True(SpinWait.SpinUntil(
        () =>
        {
            using var connection = ShimAddress.Connect(address);
            return connection is null;
        }, TimeSpan.FromSeconds(10)));
}
