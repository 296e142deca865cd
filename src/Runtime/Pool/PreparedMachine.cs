using KataLike.Contract.Oci;
using KataLike.Linux;
using KataLike.Runtime.Sandboxes;
using KataLike.Runtime.Templates;
using Machine = KataLike.Runtime.Sandboxes.Machine;

namespace KataLike.Runtime.Pools;

/// <summary>A machine of the configured size that runs, and whose agent waits for a sandbox to be.</summary>
internal sealed class PreparedMachine : IAsyncDisposable
{
    private readonly Configuration _configuration;
    private readonly TemplatePlan _kind;
    private Machine? _machine;

    private PreparedMachine(Configuration configuration, TemplatePlan kind, SandboxDirectory directory, FileDescriptor network)
    {
        (_configuration, _kind, Directory, Network) = (configuration, kind, directory, network);
    }

    /// <summary>Its own, until whoever takes the machine has taken it over.</summary>
    public SandboxDirectory Directory { get; }

    /// <summary>The network namespace, as empty as runc's, in which its processes are.</summary>
    public FileDescriptor Network { get; }

    /// <summary>Where what is to be said about it goes.</summary>
    public Action<string> Log { get; set; } = _ => { };

    /// <summary>The cgroups of whoever claims it, as in /proc/PID/cgroup.</summary>
    public IReadOnlyList<string> CallersCgroups { get; set; } = [];

    /// <summary>Its pids on the host.</summary>
    public IReadOnlyList<int> Processes { get; private set; } = [];

    /// <summary>Why it is of no use any more.</summary>
    public Task<string> Ended { get; private set; } = Task.FromResult("it was never started");

    /// <param name="directory">Owned by this process; what is started here is removed from it again.</param>
    /// <exception cref="RuntimeException">Machines of this configuration cannot be prepared.</exception>
    /// <exception cref="Hypervisor.VmException">It does not come up.</exception>
    public static async Task<PreparedMachine> StartAsync(Configuration configuration, SandboxDirectory directory, Action<string> log)
    {
        var prepared = new PreparedMachine(configuration, Require(configuration), directory, NetworkNamespaces.Create()) { Log = log };
        try
        {
            await prepared.StartAsync();
            return prepared;
        }
        catch
        {
            await prepared.DisposeAsync();
            throw;
        }
    }

    private async Task StartAsync()
    {
        var patience = TimeSpan.FromSeconds(_configuration.BootTimeoutSeconds);
        // What is to be said of the host is said by the pool, and by whoever claims it.
        var plan = MachinePlan.For(_configuration, new Spec { OciVersion = "1.0.2" }, hotPlug: true) with { Note = null };
        _machine = await Machine.StartAsync(
            "pool", _configuration, plan, _configuration.Templates ? _kind : null, Directory, Network, message => Log(message));
        Ended = _machine.EndedAsync();
        // Again when it is claimed, with the sandbox's name, and with entropy and time of that moment.
        await _machine.SetUpAsync("katalike", patience);
        using var limit = new CancellationTokenSource(patience);
        await MachineRehearsal.PlayAsync(_machine, Directory.Path, limit.Token);
        Directory.Write(new SandboxRecord(Environment.ProcessId, _machine.Hypervisor.Pid));
        Processes = _machine.Processes();
    }

    /// <exception cref="RuntimeException">Machines of this configuration cannot be prepared.</exception>
    public static TemplatePlan Require(Configuration configuration) =>
        TemplatePlan.Kind(configuration) ?? throw new RuntimeException("no pool for this configuration: it needs machine = \"q35\", and debug = false");

    /// <summary>The machine, which is the caller's from here on; null: it is not what the caller needs, or its directory was not taken over.</summary>
    /// <param name="kind">What machines of the caller's configuration are made of.</param>
    /// <param name="plan">For the sandbox.</param>
    /// <param name="configured">Of the file.</param>
    /// <param name="chosen">What the sandbox makes of it.</param>
    public Machine? Take(TemplatePlan? kind, MachinePlan plan, Configuration configured, Configuration chosen)
    {
        if (_machine is not { } machine || Ended.IsCompleted || Directory.IsHeld || kind is null || !kind.Fits(plan, configured, chosen)
            || (kind.Key, kind.Machine.Programs, configured.Templates) != (_kind.Key, _kind.Machine.Programs, _configuration.Templates)
            || chosen.UserNetwork || plan.Spec.Parallel)
            return null;
        _machine = null;
        return machine;
    }

    /// <summary>Ends the machine, unless it was taken, and removes the directory, unless it was taken over.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_machine is { } machine)
            await machine.DisposeAsync();
        _machine = null;
        Network.Dispose();
        Directory.Remove();
    }
}
