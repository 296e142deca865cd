using KataLike.Contract;

namespace KataLike.Agent.Containers;

/// <summary>What the caller asked for cannot be done: one line that says what failed, on what, and why.</summary>
internal sealed class ContainerException(string message, Exception? cause = null) : Exception(OneLine.Of(message), cause);
