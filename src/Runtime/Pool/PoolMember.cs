using KataLike.Contract.Ttrpc;
using KataLike.Linux;
using KataLike.Runtime.Cli;
using KataLike.Runtime.Hypervisor;
using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Pools;

/// <summary>
/// A process that has a machine, and waits to be told which sandbox it is to be. From then on it is the process of that sandbox, and
/// the pool has nothing to do with it; until then it ends with the pool.
/// </summary>
internal static class PoolMember
{
    public const int ConnectionNumber = 3, ReadyNumber = 4;

    /// <param name="arguments">The configuration's path, if it is not the usual one.</param>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var log = Log.ToStandardError();
        try
        {
            using var connection = new FileDescriptor(ConnectionNumber);
            using var ready = new FileDescriptor(ReadyNumber);
            var configuration = Configuration.Load(arguments.FirstOrDefault());
            var directory = new SandboxDirectory($"{configuration.PoolDirectory}/{PoolKeeper.Members}/{Environment.ProcessId}");
            directory.Acquire();
            await using var machine = await PreparedMachine.StartAsync(configuration, directory, log.Warning);
            Files.TryWrite(ready, "\n"u8);
            ready.Dispose();
            return await WaitAsync(connection, machine) is { } claim ? await SandboxCommand.RunAsync(claim, machine) : 0;
        }
        catch (Exception error) when (error is RuntimeException or VmException or TtrpcException or IOException or OperationCanceledException)
        {
            log.Warning($"pool: {error.Message}");
            return 1;
        }
    }

    /// <summary>Waits for a claim, and makes this process what it would be if it had been started with that; null: the pool has ended.</summary>
    private static async Task<SandboxArguments?> WaitAsync(FileDescriptor connection, PreparedMachine machine)
    {
        var files = new List<FileDescriptor>();
        var received = Task.Factory.StartNew(
            () => Claim.Receive(connection, files), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        if (await Task.WhenAny(received, machine.Ended) != received)
            throw new RuntimeException($"a machine that waited has ended: {await machine.Ended}");
        if (await received is not { } claim)
            return null;
        foreach (var name in SandboxProcess.InheritedNames)
            Environment.SetEnvironmentVariable(name, claim.Environment.FirstOrDefault(entry => entry.StartsWith($"{name}=", StringComparison.Ordinal))?[(name.Length + 1)..]);
        machine.CallersCgroups = claim.Cgroups;
        int? Actual(int? number) => number is { } given ? files[IndexOf(claim, given)].Number : null;
        using var errors = claim.Numbers.Contains(2) ? files[IndexOf(claim, 2)] : Files.Open("/dev/null", Files.WriteOnly);
        errors.Replace(2);
        var arguments = SandboxArguments.Parse([.. claim.Arguments.Skip(2)]);
        return arguments with
        {
            ListenDescriptor = Actual(arguments.ListenDescriptor),
            ReadyDescriptor = Actual(arguments.ReadyDescriptor),
            TimelineDescriptor = Actual(arguments.TimelineDescriptor),
        };
    }

    private static int IndexOf(Claim claim, int number)
    {
        for (var i = 0; i < claim.Numbers.Count; i++)
            if (claim.Numbers[i] == number)
                return i;
        throw new RuntimeException($"pool: a claim names a descriptor {number} that did not come along");
    }
}
