namespace KataLike.Linux;

/// <summary>A part of a file, of a process's descriptor; bytes, in whole pages.</summary>
public readonly record struct FilePart(int Descriptor, ulong Offset, ulong Length);
