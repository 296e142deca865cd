namespace KataLike.Runtime.Deploy;

/// <summary>The files of deploy/, which are part of the program.</summary>
internal static class EngineFiles
{
    /// <summary>What they begin with: such a file is ours, and may be replaced.</summary>
    public const string Mark = "# Written by katalike install.";

    private const string UsualPrefix = "/usr/local/";

    /// <param name="name">"containerd/config-v3.toml", as below deploy/.</param>
    /// <param name="prefix">Where the programs are.</param>
    public static string Read(string name, string prefix)
    {
        using var stream = typeof(EngineFiles).Assembly.GetManifestResourceStream($"deploy/{name}")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Replace(UsualPrefix, prefix.TrimEnd('/') + '/', StringComparison.Ordinal);
    }

    /// <summary>The lines that count, for somebody who adds them to a file of their own.</summary>
    public static string WithoutHeading(string text) => string.Join('\n', text.Split('\n').SkipWhile(line => !line.StartsWith('['))).TrimEnd();
}
