using KataLike.EndToEnd.Tests.Containerd;

namespace KataLike.EndToEnd.Tests.RealImages;

/// <summary>A container engine that holds the images: what the cases ask of it.</summary>
internal interface IImageEngine
{
    /// <summary>In the foreground; the container is gone afterwards.</summary>
    Task<CommandResult> RunAsync(string runtime, string image, string id, params string[] command);

    Task<CommandResult> StartAsync(string runtime, string image, string id, params string[] command);

    Task<CommandResult> ExecAsync(string id, params string[] command);

    Task KillAsync(string id, string signal);

    Task<bool> HasStoppedAsync(string id);

    /// <summary>The status of what has stopped.</summary>
    Task<int> ExitStatusAsync(string id);

    /// <summary>Runs it again, under katalike in a new machine, on the files that it left.</summary>
    Task<CommandResult> StartAgainAsync(string id);

    Task RemoveAsync(string id);

    IReadOnlyList<string> Leftovers(string id);

    string Log { get; }
}
