namespace KataLike.Contract;

/// <summary>Text of others for a message of ours: no line breaks, no escapes that a terminal obeys, no books.</summary>
public static class OneLine
{
    private const int MaxLength = 1000, Tail = 200;

    public static string Of(string text)
    {
        if (text.Length > MaxLength)
            // The end mostly says what is wrong with what comes before.
            text = $"{text.AsSpan(0, MaxLength - Tail)}...{text.AsSpan(text.Length - Tail)}";
        return string.Create(text.Length, text, static (line, text) =>
        {
            for (int i = 0; i < line.Length; i++)
                line[i] = char.IsControl(text[i]) ? ' ' : text[i];
        });
    }
}
