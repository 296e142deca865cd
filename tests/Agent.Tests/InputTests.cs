using KataLike.Agent.Service;

namespace KataLike.Agent.Tests;

public sealed class InputTests
{
    [Theory]
    [InlineData("a", true)]
    [InlineData("A_z+0-9.b", true)]
    [InlineData("..x", true)]
    [InlineData("", false)]
    [InlineData(".", false)]
    [InlineData("..", false)]
    [InlineData("a/b", false)]
    [InlineData("a\0", false)]
    [InlineData("ä", false)]
    public void Ids_are_runcs_and_never_a_path(string id, bool valid) => Assert.Equal(valid, Ids.IsValid(id));

    [Fact]
    public void Ids_are_at_most_1024_long()
    {
        Assert.True(Ids.IsValid(new string('a', 1024)));
        Assert.False(Ids.IsValid(new string('a', 1025)));
    }

    [Fact]
    public void The_last_word_of_the_command_line_counts()
    {
        var parameters = KernelParameters.Parse("quiet katalike.log=error  root=UUID=1 katalike.log=debug\n");
        Assert.Equal("debug", parameters["katalike.log"]);
        Assert.Equal("", parameters["quiet"]);
        Assert.Equal("UUID=1", parameters["root"]);
        Assert.Null(parameters["katalike"]);
    }
}
