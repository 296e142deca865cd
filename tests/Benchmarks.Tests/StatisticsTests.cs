namespace KataLike.Benchmarks.Tests;

public class StatisticsTests
{
    [Theory]
    [InlineData(new double[] { 5 }, 5, 5, 5)]
    [InlineData(new double[] { 9, 1, 2 }, 2, 1, 9)]
    [InlineData(new double[] { 4, 1, 9, 2 }, 3, 1, 9)]
    public void Finds_the_middle_and_the_ends(double[] values, double median, double minimum, double maximum) =>
        Assert.Equal(new Statistics(median, minimum, maximum), Statistics.Of(values));

    [Fact]
    public void Nothing_has_no_middle() => Assert.Null(Statistics.Of([]));
}
