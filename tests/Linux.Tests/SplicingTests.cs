namespace KataLike.Linux.Tests;

public class SplicingTests
{
    [Fact]
    public void APipeHoldsWhatItWasMadeFor()
    {
        var (read, write) = Splicing.Pipe(256 * 1024);
        using var reader = read;
        using var writer = write;
        Splicing.SetNonBlocking(write);
        var bytes = new byte[256 * 1024];
        Assert.Equal(bytes.Length, Files.Write(write, bytes));
        Assert.Equal(bytes.Length, Splicing.Available(read));
    }

    [Fact]
    public void ACapacityThatTheKernelRefusesLeavesAPipe()
    {
        var (read, write) = Splicing.Pipe(int.MinValue);
        using var reader = read;
        using var writer = write;
        Assert.Equal(1, Files.Write(write, [7]));
        Assert.Equal(1, Splicing.Available(read));
    }
}
