using System.Globalization;
using KataLike.Linux;

namespace KataLike.Runtime.Storage;

/// <summary>A directory that is made before a mount; owner null: ours.</summary>
internal sealed record NewDirectory(string Path, UnixFileMode Mode, (uint User, uint Group)? Owner);

/// <summary>
/// A mount that builds on those before it, as containerd's EROFS snapshotter gives them (containerd, docs/mounts.md, "Mount
/// Transformers"): of type "format/…" with templates for the sources and places of others, of type "mkdir/…" with directories to make.
/// </summary>
internal sealed record LayeredMount(RootfsMount Mount, IReadOnlyList<NewDirectory> Directories)
{
    /// <summary>containerd is told to leave these to us.</summary>
    public static readonly IReadOnlyList<string> Transforms = ["format", "mkdir"], Types = ["erofs"];

    private const string DirectoryOption = "X-containerd.mkdir.path=", OtherDirectoryOption = "X-containerd.mkdir.";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <param name="before">The sources of the mounts before this one, and where they are mounted.</param>
    /// <exception cref="RuntimeException">A transformation that is not known, or what it says has no meaning.</exception>
    public static LayeredMount Resolve(RootfsMount mount, IReadOnlyList<(string Source, string Place)> before)
    {
        var transforms = mount.Type.Split('/')[..^1];
        if (transforms.FirstOrDefault(name => !Transforms.Contains(name)) is { } unknown)
            throw new RuntimeException($"root file system: mount type {mount.Type}: {unknown} is not supported");
        var resolved = mount with { Type = mount.Type[(mount.Type.LastIndexOf('/') + 1)..] };
        if (transforms.Contains("format"))
        {
            resolved = resolved with
            {
                Source = Format(mount.Source, before),
                Options = [.. mount.Options.Select(option => Format(option, before))],
            };
        }
        if (!transforms.Contains("mkdir"))
            return new LayeredMount(resolved, []);
        var making = resolved.Options.Where(option => option.StartsWith(OtherDirectoryOption, StringComparison.Ordinal)).ToList();
        return new LayeredMount(resolved with { Options = [.. resolved.Options.Except(making)] }, [.. making.Select(ParseDirectory)]);
    }

    /// <summary>Fills in what is between {{ and }}.</summary>
    private static string Format(string text, IReadOnlyList<(string Source, string Place)> before)
    {
        var parts = text.Split("{{");
        for (var i = 1; i < parts.Length; i++)
        {
            if (parts[i].Split("}}", 2) is not [var template, var rest])
                throw Wrong(text);
            var value = template.Split(' ', StringSplitOptions.RemoveEmptyEntries) switch
            {
                ["source", var index] => At(index).Source,
                ["mount" or "target", var index] => At(index).Place,
                ["overlay", var first, var last] => string.Join(':', Range(first, last)),
                _ => throw Wrong(text),
            };
            parts[i] = value + rest;
        }
        return string.Concat(parts);

        (string Source, string Place) At(string index) => before[Number(index)];

        int Number(string index) => int.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number < before.Count
            ? number : throw Wrong(text);

        // The first one named lies on top, whichever way they are counted.
        IEnumerable<string> Range(string first, string last)
        {
            var (from, to) = (Number(first), Number(last));
            var step = Math.Sign(to - from);
            for (var i = from; i != to; i += step)
                yield return before[i].Place;
            yield return before[to].Place;
        }
    }

    /// <summary>PATH[:MODE[:USER:GROUP]], the mode in octal.</summary>
    private static NewDirectory ParseDirectory(string option)
    {
        if (!option.StartsWith(DirectoryOption, StringComparison.Ordinal))
            throw Wrong(option);
        var parts = option[DirectoryOption.Length..].Split(':');
        try
        {
            var mode = parts.Length > 1 ? (UnixFileMode)(Convert.ToUInt32(parts[1], 8) & 0xfff) : OwnerOnly;
            return parts.Length is not (1 or 2 or 4) ? throw Wrong(option) : new NewDirectory(parts[0], mode,
                parts.Length == 4 ? (uint.Parse(parts[2], CultureInfo.InvariantCulture), uint.Parse(parts[3], CultureInfo.InvariantCulture)) : null);
        }
        catch (Exception error) when (error is FormatException or OverflowException or ArgumentException)
        {
            throw Wrong(option);
        }
    }

    private static RuntimeException Wrong(string text) => new($"root file system: mount option {text} is not understood");
}
