namespace KataLike.EndToEnd.Tests.CommandLine;

/// <summary>Waits for what other processes bring about; a minute is far beyond any of it.</summary>
internal static class Eventually
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1), Pause = TimeSpan.FromMilliseconds(20);

    public static async Task HoldsAsync(Func<Task<bool>> condition, string what)
    {
        var end = DateTimeOffset.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTimeOffset.UtcNow < end, $"never came true: {what}");
            await Task.Delay(Pause);
        }
    }
}
