using KataLike.Contract.Ttrpc;

namespace KataLike.Agent.Service;

/// <summary>Names that the host gives. They become names of directories: the host checks them, and so does the agent.</summary>
internal static class Ids
{
    private const int MaxLength = 1024;

    /// <summary>Letters, digits and _ + - . as runc's; neither "." nor "..".</summary>
    public static bool IsValid(string id)
    {
        if (id.Length is 0 or > MaxLength || id is "." or "..")
        {
            return false;
        }
        foreach (var letter in id)
        {
            if (!char.IsAsciiLetterOrDigit(letter) && letter is not ('_' or '+' or '-' or '.'))
            {
                return false;
            }
        }
        return true;
    }

    public static void Check(string id, string what)
    {
        if (!IsValid(id))
        {
            throw new TtrpcException(StatusCode.InvalidArgument, $"invalid {what} format: {id}");
        }
    }
}
