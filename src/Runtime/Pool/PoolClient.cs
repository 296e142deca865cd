using KataLike.Linux;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Pools;

/// <summary>Asks the pool for a process that has a machine already. Whatever is wrong with the pool, the caller starts one of its own.</summary>
internal static class PoolClient
{
    /// <summary>Milliseconds for the pool to hand one out, which it does at once.</summary>
    private const int Patience = 1000;

    /// <param name="files">Open files, and the numbers that they have in the arguments.</param>
    /// <returns>False: there is none.</returns>
    public static bool TryClaim(
        Configuration configuration, IReadOnlyList<string> arguments, IReadOnlyList<string> environment, IReadOnlyList<(FileDescriptor File, int Number)> files)
    {
        if (configuration.PoolSize == 0)
            return false;
        try
        {
            using var member = Ask(configuration);
            return member is not null && new Claim(arguments, environment, [.. files.Select(file => file.Number)], HostCgroup.OwnMemberships())
                .Send(member, [.. files.Select(file => file.File)]);
        }
        catch (LinuxException)
        {
            return false;
        }
    }

    /// <summary>A connection to one; null: there is none for us.</summary>
    private static FileDescriptor? Ask(Configuration configuration)
    {
        using var directory = Files.Open(configuration.PoolDirectory, Files.PathOnly | Files.Directory | Files.NoFollow);
        using var keeper = UnixSockets.Connect(directory, PoolKeeper.Socket);
        // Whoever answers there is told what to run.
        if (PeerCredentials.Of(keeper).Uid != PeerCredentials.OwnUser)
            return null;
        using var epoll = new Epoll();
        epoll.Add(keeper, PollEvents.Readable, 0);
        var given = new List<FileDescriptor>();
        if (epoll.Wait(Patience).Length > 0)
            UnixSockets.TryReceive(keeper, stackalloc byte[1], given);
        return given.FirstOrDefault();
    }
}
