using System.Text;
using KataLike.Contract.Oci;

namespace KataLike.Contract.Tests.Oci;

/// <summary>Whatever the bytes: a spec that keeps its promises, or an <see cref="OciException"/> of one line.</summary>
public sealed class SpecFuzzTests
{
    private static readonly string[] Tokens =
    [
        "null", "{}", "[]", "[null]", "\"\"", "\"\\u0000\"", "\"\\ud800\"", "-1", "1e400", "18446744073709551616", "true", "{\"a\":null}",
    ];

    [Fact]
    public void MutatedDocuments()
    {
        var random = new Random(3);
        byte[] full = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Oci", "full-config.json"));
        int passed = 0;
        for (int round = 0; round < 6_000; round++)
            passed += Parse(Mutate(full, random)) ? 1 : 0;
        Assert.InRange(passed, 1, 5_999);
    }

    [Fact]
    public void RandomBytes()
    {
        var random = new Random(4);
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            _ = Parse(bytes);
        }
    }

    private static byte[] Mutate(byte[] document, Random random)
    {
        byte[] bytes = [.. document];
        int at = random.Next(bytes.Length);
        switch (random.Next(4))
        {
            case 0:
                bytes[at] = (byte)random.Next(256);
                return bytes;
            case 1:
                return bytes[..at];
            case 2:
                return [.. bytes[..at], .. bytes[random.Next(bytes.Length)..]];
            default:
                // Another value in the place of one.
                string text = Encoding.UTF8.GetString(bytes);
                int colon = text.IndexOf(": ", Math.Min(at, text.Length - 1), StringComparison.Ordinal);
                if (colon < 0)
                    return bytes;
                int end = text.IndexOfAny([',', '}', '\n'], colon);
                return Encoding.UTF8.GetBytes(text[..(colon + 2)] + Tokens[random.Next(Tokens.Length)] + text[end..]);
        }
    }

    private static bool Parse(byte[] bytes)
    {
        Spec spec;
        try
        {
            spec = Spec.Parse(bytes);
        }
        catch (OciException e)
        {
            Assert.StartsWith("$", e.Path);
            Assert.DoesNotContain('\n', e.Message);
            return false;
        }
        Assert.NotEmpty(spec.Process!.Args!);
        Assert.StartsWith("/", spec.Process.Cwd);
        Assert.NotEmpty(spec.Root!.Path);
        Assert.All(spec.Mounts ?? [], mount => Assert.NotEmpty(mount.Destination));
        return true;
    }
}
