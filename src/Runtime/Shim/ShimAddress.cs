using System.Security.Cryptography;
using System.Text;
using KataLike.Linux;

namespace KataLike.Runtime.Shim;

/// <summary>The Unix socket on which containerd reaches a sandbox: unix://DIRECTORY/SHA256 of containerd, namespace and group.</summary>
internal static class ShimAddress
{
    private const string Scheme = "unix://";
    private const string DefaultDirectory = "/run/containerd/s";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>sun_path less its terminator, as containerd counts.</summary>
    private const int MaxPath = 106;

    /// <exception cref="RuntimeException">The path is too long for a Unix socket.</exception>
    public static string For(string containerd, string space, string group, string? directory = null)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes($"{containerd.TrimEnd('/')}/{space}/{group}"));
        var path = $"{directory ?? DefaultDirectory}/{Convert.ToHexStringLower(hash)}";
        return path.Length <= MaxPath
            ? Scheme + path
            : throw new RuntimeException($"socket path {path} is longer than {MaxPath} bytes: choose a shorter socket directory");
    }

    /// <summary>Binds and listens; null where a sandbox already answers there. A socket that nobody answers on is replaced.</summary>
    /// <remarks>Under a lock of the directory, as <see cref="RemoveDead"/>: between bind and listen it looks like a dead one.</remarks>
    public static FileDescriptor? Listen(string address)
    {
        var (directory, name) = Split(address);
        Directory.CreateDirectory(directory, OwnerOnly | UnixFileMode.UserExecute);
        using var handle = Files.Open(directory, Files.ReadOnly | Files.Directory);
        FileLock.Acquire(handle);
        try
        {
            return Listen(handle, directory, name);
        }
        catch (LinuxException e) when (e.Errno == Errno.EADDRINUSE)
        {
            if (Answers(handle, name))
                return null;
            File.Delete(Path.Combine(directory, name));
            return Listen(handle, directory, name);
        }
    }

    /// <summary>Connects; null where nobody listens.</summary>
    public static FileDescriptor? Connect(string address)
    {
        try
        {
            var (directory, name) = Split(address);
            using var handle = Files.Open(directory, Files.PathOnly | Files.Directory);
            return UnixSockets.Connect(handle, name);
        }
        catch (LinuxException e) when (e.Errno is Errno.ENOENT or Errno.ECONNREFUSED)
        {
            return null;
        }
    }

    /// <summary>Removes a socket that nobody answers on; one that is there by now for a new sandbox stays.</summary>
    public static void RemoveDead(string address)
    {
        var (directory, name) = Split(address);
        if (!Directory.Exists(directory))
            return;
        using var handle = Files.Open(directory, Files.ReadOnly | Files.Directory);
        FileLock.Acquire(handle);
        if (!Answers(handle, name))
            Remove(address);
    }

    /// <summary>Removes one's own socket, while it still listens: afterwards the name may be another's.</summary>
    public static void Remove(string address)
    {
        var (directory, name) = Split(address);
        try
        {
            File.Delete(Path.Combine(directory, name));
        }
        catch (DirectoryNotFoundException)
        {
        }
    }

    private static FileDescriptor Listen(FileDescriptor handle, string directory, string name)
    {
        var listener = UnixSockets.Listen(handle, name);
        File.SetUnixFileMode(Path.Combine(directory, name), OwnerOnly);
        return listener;
    }

    private static bool Answers(FileDescriptor directory, string name)
    {
        try
        {
            UnixSockets.Connect(directory, name).Dispose();
            return true;
        }
        catch (LinuxException e) when (e.Errno is Errno.ECONNREFUSED or Errno.ENOENT)
        {
            return false;
        }
    }

    private static (string Directory, string Name) Split(string address)
    {
        var path = address.StartsWith(Scheme, StringComparison.Ordinal) ? address[Scheme.Length..] : address;
        return (Path.GetDirectoryName(path) ?? "/", Path.GetFileName(path));
    }
}
