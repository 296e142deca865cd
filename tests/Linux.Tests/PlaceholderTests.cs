namespace KataLike.Linux.Tests;
