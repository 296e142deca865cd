using System.Security.Cryptography;
using System.Text;

namespace KataLike.Runtime.Deploy;

/// <summary>Places files, all or none; and takes away what it has placed, as far as nobody has changed it since.</summary>
/// <param name="root">Above all paths; empty: the host itself.</param>
/// <param name="say">Told what is done to each path, one line each.</param>
internal sealed class Installation(string root, bool dryRun, Action<string> say)
{
    private const string Fresh = ".katalike-new", Former = ".katalike-old";

    private readonly Stack<Action> _undo = new();
    private readonly List<string> _record = [], _former = [];

    /// <exception cref="RuntimeException">Something could not be written; everything is as it was.</exception>
    public void Install(InstallPlan plan, string prefix)
    {
        var recordPath = InstallPlan.RecordPath(prefix);
        if (File.Exists(root + recordPath))
            _record.AddRange(File.ReadAllLines(root + recordPath));
        try
        {
            foreach (var item in plan.Items)
                Place(item);
            if (!dryRun)
                Write(recordPath, path => File.WriteAllText(path, string.Concat(_record.Distinct().Select(line => line + '\n'))));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            while (_undo.TryPop(out var undo))
                undo();
            throw new RuntimeException($"nothing was installed: {error.Message}", cause: error);
        }
        _former.ForEach(File.Delete);
    }

    private void Place(InstallItem item)
    {
        switch (item)
        {
            case InstallItem.Copy copy:
                Place(copy.Path, SameContent(copy.Source, root + copy.Path), path =>
                {
                    File.Copy(copy.Source, path, overwrite: true);
                    File.SetUnixFileMode(path, copy.Mode);
                });
                break;
            case InstallItem.Text text:
                var there = File.Exists(root + text.Path) ? File.ReadAllText(root + text.Path) : null;
                if (there is not null && there != text.Content && (text.IsUsers || !there.StartsWith(EngineFiles.Mark, StringComparison.Ordinal)))
                    say($"kept       {text.Path}: {(text.IsUsers ? "yours" : "not written by katalike install")}");
                else
                    Place(text.Path, there == text.Content, path => File.WriteAllText(path, text.Content));
                break;
            case InstallItem.Link link:
                Place(link.Path, new FileInfo(root + link.Path).LinkTarget == link.Target, path => File.CreateSymbolicLink(path, link.Target));
                break;
        }
    }

    private void Place(string path, bool isThere, Action<string> write)
    {
        say($"{(isThere ? "unchanged " : dryRun ? "to install" : "installed ")} {path}");
        if (dryRun)
            return;
        if (!isThere)
            Write(path, write);
        // Whatever an earlier installation has left of it is not what is there now.
        _record.RemoveAll(line => line.EndsWith($" {path}", StringComparison.Ordinal));
        _record.Add($"{Fingerprint(root + path)} {path}");
    }

    /// <summary>Writes beside the path and renames: whoever runs or reads the former file goes on with that.</summary>
    private void Write(string path, Action<string> write)
    {
        var place = root + path;
        MakeDirectories(Path.GetDirectoryName(place)!);
        _undo.Push(() => File.Delete(place + Fresh));
        File.Delete(place + Fresh);
        write(place + Fresh);
        if (new FileInfo(place).LinkTarget is { } target)
        {
            _undo.Push(() =>
            {
                File.Delete(place);
                File.CreateSymbolicLink(place, target);
            });
        }
        else if (File.Exists(place))
        {
            File.Copy(place, place + Former, overwrite: true);
            _former.Add(place + Former);
            _undo.Push(() => File.Move(place + Former, place, overwrite: true));
        }
        var isNew = !Path.Exists(place);
        File.Move(place + Fresh, place, overwrite: true);
        if (isNew)
            _undo.Push(() => File.Delete(place));
    }

    private void MakeDirectories(string directory)
    {
        if (Directory.Exists(directory))
            return;
        MakeDirectories(Path.GetDirectoryName(directory)!);
        Directory.CreateDirectory(directory);
        _undo.Push(() => Directory.Delete(directory));
        if (directory.Length > root.Length)
            _record.Add($"directory {directory[root.Length..]}");
    }

    /// <exception cref="RuntimeException">There is no installation below that prefix.</exception>
    public void Uninstall(string prefix)
    {
        var recordPath = root + InstallPlan.RecordPath(prefix);
        if (!File.Exists(recordPath))
            throw new RuntimeException($"nothing is installed below {prefix}: {InstallPlan.RecordPath(prefix)} is not there");
        var entries = File.ReadAllLines(recordPath).Select(line => line.Split(' ', 2)).Where(entry => entry.Length == 2).ToList();
        foreach (var entry in entries.Where(entry => entry[0] != "directory"))
            Remove(entry[1], entry[0]);
        if (!dryRun)
            File.Delete(recordPath);
        foreach (var directory in entries.Where(entry => entry[0] == "directory").Select(entry => entry[1]).OrderByDescending(path => path.Length))
        {
            if (dryRun || !Directory.Exists(root + directory) || Directory.EnumerateFileSystemEntries(root + directory).Any())
                continue;
            Directory.Delete(root + directory);
            say($"removed    {directory}");
        }
    }

    private void Remove(string path, string fingerprint)
    {
        if (!Path.Exists(root + path) && new FileInfo(root + path).LinkTarget is null)
            return;
        var isOurs = Fingerprint(root + path) == fingerprint;
        say($"{(!isOurs ? "kept      " : dryRun ? "to remove " : "removed   ")} {path}{(isOurs ? "" : ": changed since it was installed")}");
        if (isOurs && !dryRun)
            File.Delete(root + path);
    }

    private static string Fingerprint(string path)
    {
        if (new FileInfo(path).LinkTarget is { } target)
            return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"link to {target}")));
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    private static bool SameContent(string one, string other) =>
        File.Exists(other) && new FileInfo(one).Length == new FileInfo(other).Length && Fingerprint(one) == Fingerprint(other);
}
