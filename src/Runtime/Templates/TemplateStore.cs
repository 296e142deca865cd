using KataLike.Linux;

namespace KataLike.Runtime.Templates;

/// <summary>The saved machines of this host: files of one directory, each named by a hash of what its machine was made of.</summary>
internal sealed class TemplateStore(string directory)
{
    public const string DefaultDirectory = "/var/cache/katalike/templates";

    private const string Suffix = ".template";

    /// <summary>How many are kept; each is some 40 MiB, with a process in it 100.</summary>
    private const int Kept = 6;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public string PathOf(string key) => $"{directory}/{Hash(key):x16}{Suffix}";

    public bool Has(string key)
    {
        using var template = Find(key);
        return template is not null;
    }

    public bool HasAll(TemplatePlan plan) => Has(plan.Key) && (plan.ProcessKey is not { } process || Has(process));

    /// <summary>The template of that key; null: there is none that can be used.</summary>
    public Template? Find(string key)
    {
        FileDescriptor? file = null;
        Template? template = null;
        try
        {
            file = Files.Open(PathOf(key), Files.ReadOnly | Files.NoFollow);
            // Whoever can write it decides what runs in every sandbox.
            if (Files.Status(file) is { Owner: 0, OthersWrite: false } && (template = Template.Open(file)).Key == key)
            {
                File.SetLastWriteTimeUtc(PathOf(key), DateTime.UtcNow);
                return template;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            // None, or none that is of use.
        }
        template?.Dispose();
        file?.Dispose();
        return null;
    }

    /// <summary>For one that has turned out to be of no use: the next start makes another.</summary>
    public void Discard(string key) => File.Delete(PathOf(key));

    public void DiscardAll()
    {
        if (Directory.Exists(directory))
            Directory.Delete(directory, recursive: true);
        var parent = Path.GetDirectoryName(DefaultDirectory)!;
        // Ours as well, where nobody has chosen another.
        if (directory == DefaultDirectory && Directory.Exists(parent) && !Directory.EnumerateFileSystemEntries(parent).Any())
            Directory.Delete(parent);
    }

    /// <summary>Where one is being made, by whoever holds the lock.</summary>
    public string Workshop => $"{directory}/making";

    /// <summary>What somebody has left who was killed while he made one.</summary>
    public void RemoveUnfinished()
    {
        using var held = Directory.Exists(Workshop) ? TryLock() : null;
        if (held is not null)
            Directory.Delete(Workshop, recursive: true);
    }

    /// <summary>Whoever makes one holds this; null: somebody else does.</summary>
    public FileDescriptor? TryLock()
    {
        Directory.CreateDirectory(directory, OwnerOnly);
        var handle = Files.Open(directory, Files.ReadOnly | Files.Directory);
        if (FileLock.TryAcquire(handle))
            return handle;
        handle.Dispose();
        return null;
    }

    /// <summary>Adds one, whole or not at all, and lets go of those that were used least recently. Under the lock.</summary>
    public void Add(string key, Action<Stream> write)
    {
        using (var file = new FileStream($"{Workshop}/template", new FileStreamOptions
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        }))
        {
            write(file);
            file.Flush(flushToDisk: true);
        }
        File.Move($"{Workshop}/template", PathOf(key), overwrite: true);
        foreach (var old in new DirectoryInfo(directory).GetFiles($"*{Suffix}").OrderByDescending(file => file.LastWriteTimeUtc).Skip(Kept))
            old.Delete();
    }

    /// <summary>FNV-1a: it only names files, whose keys are compared whole.</summary>
    private static ulong Hash(string text)
    {
        var hash = 14695981039346656037UL;
        foreach (var character in text)
            hash = (hash ^ character) * 1099511628211UL;
        return hash;
    }
}
