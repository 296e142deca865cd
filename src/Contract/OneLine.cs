namespace KataLike.Contract;

/// <summary>Text of others for a message of ours: no line breaks, no escapes that a terminal obeys, no books.</summary>
public static class OneLine
{
    private const int MaxLength = 1000;

    public static string Of(string text)
    {
        if (text.Length > MaxLength)
            text = $"{text.AsSpan(0, MaxLength)}...";
        return string.Create(text.Length, text, static (line, text) =>
        {
            for (int i = 0; i < line.Length; i++)
                line[i] = char.IsControl(text[i]) ? ' ' : text[i];
        });
    }
}
