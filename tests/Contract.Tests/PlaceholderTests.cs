namespace KataLike.Contract.Tests;
