using KataLike.Agent.Containers;
using KataLike.Contract.Oci;
using KataLike.Linux;
using Xunit.Abstractions;

namespace KataLike.Agent.Tests.Containers;

/// <summary>Real containers, looked at from inside.</summary>
public class ContainerTests(ContainerFixture fixture) : IClassFixture<ContainerFixture>
{
    [SkippableFact]
    public void RunsWithOutputAndExitStatus()
    {
        Skip.If(ContainerFixture.Unavailable is not null, ContainerFixture.Unavailable);
        var (output, status) = fixture.Run(ContainerFixture.SpecOf("echo hello; exit 7"));
        Assert.Equal("hello\n", output);
        Assert.Equal(new ExitStatus(false, 7), status);
    }
}
