using KataLike.Agent.Rootfs;

namespace KataLike.Agent.Tests.Rootfs;

public class PasswordFileTests
{
    [Theory]
    [InlineData("root:x:0:0:root:/root:/bin/sh\nu:x:5:5::/home/u:", 5u, "/home/u")]
    [InlineData("u:x:5:5::/first:\nv:x:5:5::/second:", 5u, "/first")]
    [InlineData("u:x:5:5:::", 5u, "/")]
    [InlineData("garbage\n::::\nu:x:-1:5::/x:", 5u, "/")]
    [InlineData("", 0u, "/")]
    public void HomeIsThatOfTheUser(string content, uint user, string home) => Assert.Equal(home, PasswordFile.Home(content, user));
}
