using KataLike.Contract.Oci;

namespace KataLike.Runtime.Sandboxes;

/// <summary>
/// An update names what it changes. Some limits are one with another: quota and period, swap (which counts memory too) and
/// memory. As with runc the one that is not named keeps its value, so it is added.
/// </summary>
internal static class ResourceUpdate
{
    public static Resources Complete(Resources update, Resources? current) => update with
    {
        Cpu = update.Cpu is null or { Quota: null, Period: null } ? update.Cpu : update.Cpu with
        {
            Quota = update.Cpu.Quota ?? current?.Cpu?.Quota,
            Period = update.Cpu.Period ?? current?.Cpu?.Period,
        },
        Memory = update.Memory is null or { Swap: null } ? update.Memory : update.Memory with
        {
            Limit = update.Memory.Limit ?? current?.Memory?.Limit,
        },
    };

    /// <summary>What is known of the limits after a completed update.</summary>
    public static Resources Apply(Resources update, Resources? current) => new()
    {
        Cpu = new()
        {
            Quota = update.Cpu?.Quota ?? current?.Cpu?.Quota,
            Period = update.Cpu?.Period ?? current?.Cpu?.Period,
            Shares = update.Cpu?.Shares is > 0 and var shares ? shares : current?.Cpu?.Shares,
            Cpus = update.Cpu?.Cpus is { Length: > 0 } cpus ? cpus : current?.Cpu?.Cpus,
        },
        Memory = new() { Limit = update.Memory?.Limit ?? current?.Memory?.Limit },
    };
}
